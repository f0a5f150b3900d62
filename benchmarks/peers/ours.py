"""mlserve: one model with a memory tier, the same without."""

from __future__ import annotations

from typing import Final

from benchmarks.peers.dialect import EVAL
from benchmarks.peers.peer import Launch, Peer, Place
from benchmarks.peers.workload import CASES, Model

NAME: Final = "mlserve"


def _launch(place: Place) -> Launch:
    config = place.folder / "config.yaml"
    config.write_text(
        f"Models: [{{ID: {Model.CACHED.value}, URL: '{place.model}', DataStore: memory}},\n"
        f"  {{ID: {Model.PLAIN.value}, URL: '{place.model}'}}]\n"
        "Datastores: [{ID: memory, Cache: {SizeMB: 16}}]\n",
        encoding="utf-8",
    )
    options = ("-c", str(config), "--port", str(place.port), "--log-level", "error")
    return Launch((str(place.python), "-m", "mlserve", *options), "/readyz")


MLSERVE: Final = Peer(NAME, CASES, {NAME: EVAL}, _launch)
