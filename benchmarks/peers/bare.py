"""Not servers of models, but the best one could be in Python: they give one of our answers, whatever they are asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from benchmarks.peers.dialect import EVAL
from benchmarks.peers.peer import Launch, Peer, Place
from benchmarks.peers.workload import CACHED


def _launch(module: str) -> Callable[[Place], Launch]:
    def launch(place: Place) -> Launch:
        return Launch((str(place.python), "-m", module, str(place.port)), "/", stdin=place.sample)

    return launch


def _peer(name: str, module: str) -> Peer:
    return Peer(name, (CACHED,), {name: EVAL}, _launch(module), only_first=True)


PROTOCOL: Final = _peer("bare protocol", "benchmarks.peers.bare_protocol")
AIOHTTP: Final = _peer("bare aiohttp", "benchmarks.bare_http")
