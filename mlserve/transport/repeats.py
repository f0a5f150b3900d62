"""Whole requests that came before, byte for byte, and what answers them: memory's entries, never rows of its own.

Kept within a share of the memory tiers' sizes. An answer names the very entry that gave it and the version that did,
and counts for nothing once either is not the one that would answer now; so nothing here can be stale.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final

from mlserve.contracts.memory import Memory
from mlserve.observe.model_metrics import ModelMetrics, Requests
from mlserve.serving.deployment import Deployment

REPEAT_BYTES: Final = 544
"""What a request costs besides its bytes and those of its answer: the heads of six objects, two places in dicts.
Measured by ``benchmarks/cache_memory.py``."""
MAX_REQUESTS: Final = 65536
"""More would gain little, and dicts that hold them stop the loop for milliseconds whenever they grow."""
MAX_BYTES: Final = 8192
"""What is larger, answer included, is not kept: it would stand in the place of many."""

_FORGOTTEN_TOGETHER: Final = 64

Answer = tuple[bytes, bytes, bytes, bytes]
"""A row's key, its entry in memory, and the body around the service time. Flat, so that the collector passes by."""


class Version:
    """The requests that one version answers by one protocol. ``start`` begins the head of each answer."""

    __slots__ = ("answers", "deployment", "lasts", "metrics", "requests", "start")

    def __init__(
        self, deployment: Deployment, memory: Memory, metrics: ModelMetrics, requests: Requests, start: bytes
    ) -> None:
        self.deployment: Deployment | None = deployment
        self.lasts = memory.lasts
        self.metrics = metrics
        self.requests = requests
        self.start = start
        self.answers: dict[bytes, Answer] = {}

    def end(self) -> None:
        """Answer nothing more, and let go of model and memory. What was learnt is forgotten as its turn comes."""
        self.deployment = None
        self.lasts = _never


def _never(key: bytes, entry: bytes) -> float:
    return 0.0


class Repeats:
    """Every request that is known, of all models. ``room`` tells how many bytes there may be of them. On the loop only.

    The oldest go first, used or not: one that is asked again is known again after that, and knowing when each was used
    last would cost every answer something.
    """

    def __init__(self, room: Callable[[], int]) -> None:
        self._room = room
        self._versions: dict[bytes, Version] = {}
        self.used_bytes = 0
        self.of: Callable[[bytes], Version | None] = self._versions.get
        """The version that is known to have answered a request."""

    def __len__(self) -> int:
        return len(self._versions)

    def learn(self, request: bytes, version: Version, answer: Answer) -> None:
        """``version`` gave ``answer`` to ``request``."""
        self.forget(request)
        cost = _cost(request, answer)
        room = self._room()
        if cost > min(MAX_BYTES, room):
            return
        while self.used_bytes + cost > room or len(self._versions) >= MAX_REQUESTS:
            # Some at a time: finding the oldest of a dict means walking over the holes in front of them.
            for oldest in list(islice(self._versions, _FORGOTTEN_TOGETHER)):
                self.forget(oldest)
        version.answers[request] = answer
        self._versions[request] = version
        self.used_bytes += cost

    def forget(self, request: bytes) -> None:
        """Its answer counts no more; nothing happens if it is not known."""
        version = self._versions.pop(request, None)
        if version is not None:
            self.used_bytes -= _cost(request, version.answers.pop(request))


def _cost(request: bytes, answer: Answer) -> int:
    return len(request) + sum(map(len, answer)) + REPEAT_BYTES
