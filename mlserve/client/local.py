"""The client's own memory of one version of a model: rows by key, whole answers by the very bytes of their request.

It goes with the version that it is of. Rows are as the server would keep them, by the same key, so requests that a
model cannot tell apart share one. A whole answer is remembered when a row is asked for the second time in the same
words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from time import monotonic
from typing import Any, Final

from mlserve.cache.merge import Part
from mlserve.cache.payload import NotEncodable, encode
from mlserve.cache.readable import readable
from mlserve.contracts.memory import Memory
from mlserve.types import Rows

JITTER: Final = 0.1
"""Lives are shortened by up to this share, so that rows stored together do not end together."""
MAX_ANSWERS: Final = 4_096
MAX_REQUEST_BYTES: Final = 1_024

_SCALARS: Final = frozenset((float, int, str, bool))


class Local:
    """``memory`` holds rows, ``absences`` keys that the shared tiers lack. On one event loop only."""

    def __init__(
        self,
        memory: Memory,
        absences: Memory,
        *,
        ttl_s: float,
        retry_s: float,
        clock: Callable[[], float] = monotonic,
        random: Random | None = None,
    ) -> None:
        self._memory = memory
        self._absences = absences
        self._ttl_s = ttl_s
        self._retry_s = retry_s
        self._clock = clock
        self._random = random or Random()  # noqa: S311  # spreads expiries, guards nothing
        self._answers: dict[bytes, tuple[dict[str, Any], float]] = {}

    def recall(self, request: bytes) -> dict[str, Any] | None:
        """The data that answered a request of these very bytes."""
        found = self._answers.get(request)
        if found is None:
            return None
        if found[1] <= self._clock():
            del self._answers[request]
            return None
        return found[0].copy()

    def remember(self, request: bytes, key: bytes, data: dict[str, Any]) -> None:
        """``data`` is what the row under ``key`` holds; nothing that its owner could change is kept."""
        if len(request) > MAX_REQUEST_BYTES or not _SCALARS.issuperset(map(type, data.values())):
            return
        entry = self._memory.peek(key)
        if entry is None:
            return
        if len(self._answers) >= MAX_ANSWERS:
            del self._answers[next(iter(self._answers))]
        self._answers[request] = (data.copy(), self._clock() + entry[1])

    def look_up(self, keys: Sequence[bytes]) -> tuple[Part | None, Sequence[int]]:
        """The rows that are here and their places, and the places of the others."""
        part, _ = readable([self._memory.get(key) for key in keys])
        if part is None:
            return None, range(len(keys))
        held = set(part[1])
        return part, [place for place in range(len(keys)) if place not in held]

    def store(self, keys: Sequence[bytes], rows: Rows, lives_s: Sequence[float] | None = None) -> None:
        """``lives_s`` bound the lives of rows that were stored elsewhere; what has no form in bytes is left out."""
        if lives_s is None and self._answers and any(self._memory.peek(key) is not None for key in keys):
            self._answers.clear()  # asked anew: some may repeat what is replaced now
        try:
            payloads = encode(rows)
        except NotEncodable:
            return
        for place, (key, payload) in enumerate(zip(keys, payloads, strict=True)):
            life_s = self._ttl_s * (1 - JITTER * self._random.random())
            self._memory.put(key, payload, life_s if lives_s is None else min(life_s, lives_s[place]))

    def missed(self, keys: Sequence[bytes]) -> None:
        """The shared tiers have none of ``keys``."""
        for key in keys:
            self._absences.put(key, b"", self._retry_s)

    def not_absent(self, keys: Sequence[bytes], places: Sequence[int]) -> Sequence[int]:
        """Those of ``places`` whose keys the shared tiers may have."""
        return [place for place in places if self._absences.get(keys[place]) is None]
