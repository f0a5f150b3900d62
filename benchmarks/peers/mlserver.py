"""MLServer with a custom runtime and its own cache of responses.

Without its adaptive batching: joining requests takes it longer than it saves here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from benchmarks.peers.dialect import V2
from benchmarks.peers.environment import ONNXRUNTIME
from benchmarks.peers.peer import Launch, Peer, Place
from benchmarks.peers.workload import CACHED, CASES, Model
from benchmarks.process import free_port

_HOSTED: Final = Path(__file__).with_name("hosted")


def _launch(place: Place) -> Launch:
    settings = {
        "host": "127.0.0.1",
        "http_port": place.port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "debug": False,
        # On one core, another process to infer in costs more than it gives.
        "parallel_workers": 0,
        "cache_enabled": True,
        "cache_size": 10 * CACHED.different,
    }
    (place.folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    for model in Model:
        folder = place.folder / model.value
        folder.mkdir()
        described = {
            "name": model.value,
            "implementation": "mlserver_runtime.Onnx",
            "parameters": {"uri": str(place.model)},
            "cache_enabled": model is Model.CACHED,
        }
        (folder / "model-settings.json").write_text(json.dumps(described), encoding="utf-8")
    ready = f"/v2/models/{Model.PLAIN.value}/ready"
    command = (str(place.python.with_name("mlserver")), "start", str(place.folder))
    return Launch(command, ready, {"PYTHONPATH": str(_HOSTED)})


MLSERVER: Final = Peer("MLServer", CASES, {"MLServer": V2}, _launch, ("mlserver==1.7.1", ONNXRUNTIME))
