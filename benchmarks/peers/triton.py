"""NVIDIA Triton as nvidia-pytriton brings it: tritonserver, its Python backend and its local response cache.

The binary is started by itself: pytriton's own way to serve a function would put two more processes between.
"""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Final

from benchmarks.peers.dialect import V2, V2_BINARY
from benchmarks.peers.environment import ONNXRUNTIME
from benchmarks.peers.peer import Launch, Peer, Place
from benchmarks.peers.workload import CASES, CLASSES, FEATURES, INPUT, OUTPUT, ROWS_PER_BATCH, Model

_HOSTED: Final = Path(__file__).with_name("hosted") / "triton_model.py"
_CACHE_BYTES: Final = 16 << 20
_CONFIG: Final = """\
backend: "python"
max_batch_size: {batch}
input [{{ name: "{input}", data_type: TYPE_FP32, dims: [{features}] }}]
output [{{ name: "{output}", data_type: TYPE_FP32, dims: [{classes}] }}]
instance_group [{{ kind: KIND_CPU, count: 1 }}]
dynamic_batching {{}}
response_cache {{ enable: {cached} }}
"""


def _launch(place: Place) -> Launch:
    for model in Model:
        _write(place.folder / "models" / model.value, place.model, cached=model is Model.CACHED)
    site = _site_packages(place.python)
    server = site / "pytriton/tritonserver"
    _provide_stub(place.python, server)
    options = (
        f"--model-repository={place.folder / 'models'}",
        f"--backend-directory={server / 'backends'}",
        f"--cache-directory={server / 'caches'}",
        f"--cache-config=local,size={_CACHE_BYTES}",
        "--http-address=127.0.0.1",
        f"--http-port={place.port}",
        # With one, requests come to the batcher one by one; with more, threads only take turns.
        "--http-thread-count=2",
        "--allow-grpc=false",
        "--allow-metrics=false",
        "--log-info=false",
    )
    environ = {
        "PATH": f"{place.python.parent}:/usr/local/bin:/usr/bin:/bin",
        "LD_LIBRARY_PATH": f"{site / 'nvidia_pytriton.libs'}:{sysconfig.get_config_var('LIBDIR')}",
    }
    return Launch((str(server / "bin/tritonserver"), *options), "/v2/health/ready", environ)


def _write(folder: Path, model: Path, *, cached: bool) -> None:
    version = folder / "1"
    version.mkdir(parents=True)
    shutil.copy(model, version / "model.onnx")
    shutil.copy(_HOSTED, version / "model.py")
    shape = {"input": INPUT, "features": FEATURES, "output": OUTPUT, "classes": CLASSES}
    text = _CONFIG.format(batch=ROWS_PER_BATCH, cached=str(cached).lower(), **shape)
    (folder / "config.pbtxt").write_text(text, encoding="utf-8")


def _provide_stub(python: Path, server: Path) -> None:
    """The backend looks beside itself for the process that runs Python; the package holds one for each version."""
    stub = server / "backends/python/triton_python_backend_stub"
    if not stub.exists():
        version = _ask(python, "import sys; print('%d.%d' % sys.version_info[:2])")
        shutil.copy(server / "python_backend_stubs" / version / stub.name, stub)


def _site_packages(python: Path) -> Path:
    return Path(_ask(python, "import sysconfig; print(sysconfig.get_path('platlib'))"))


def _ask(python: Path, code: str) -> str:
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


TRITON: Final = Peer(
    "Triton",
    CASES,
    {"Triton, JSON": V2, "Triton, binary tensors": V2_BINARY},
    _launch,
    ("nvidia-pytriton==0.7.0", ONNXRUNTIME),
)
