"""LitServe, which has no cache. Without its batching: joining requests takes it longer than it saves here."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.peers.dialect import PLAIN
from benchmarks.peers.environment import ONNXRUNTIME
from benchmarks.peers.peer import Launch, Peer, Place
from benchmarks.peers.workload import BATCH, UNCACHED

_HOSTED: Final = Path(__file__).with_name("hosted") / "litserve_app.py"


def _launch(place: Place) -> Launch:
    return Launch((str(place.python), str(_HOSTED), str(place.model), str(place.port)), "/health")


LITSERVE: Final = Peer(
    "LitServe",
    (UNCACHED, BATCH),
    {"LitServe": PLAIN},
    _launch,
    ("litserve==0.2.19", ONNXRUNTIME),
)
