"""What the figures were measured on, and which core belongs to whom."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

BUSY_LOAD = 0.5
PACKAGES = ("mlserve", "aiohttp", "uvloop", "numpy", "onnxruntime", "tensorflow-cpu", "tensorflow")


def cores() -> list[int]:
    """Those this process may use; empty where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def server_core() -> int | None:
    """The first core, if there is another one for the load."""
    return cores()[0] if len(cores()) > 1 else None


def load_core() -> int | None:
    """The second core."""
    return cores()[1] if len(cores()) > 1 else None


def pin(process: int, core: int | None) -> None:
    """Keep ``process``, just started, on ``core``; threads it starts inherit that."""
    if core is not None:
        os.sched_setaffinity(process, {core})


def describe() -> str:
    """Processor, cores, load, Python and packages in two lines."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    pinned = "server and load on a core each" if server_core() is not None else "nothing pinned"
    packages = ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name)))
    return (
        f"{_processor()}, {len(cores()) or os.cpu_count()} cores ({pinned}){load}, {platform.system()}\n"
        f"Python {platform.python_version()}, {packages}"
    )


def busy() -> str:
    """What readers must know of a machine that others use now; empty when it is ours alone."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load < BUSY_LOAD:
        return ""
    return (
        f"Others used the machine meanwhile (load {load:.1f} before the first round): "
        "go by processor time, and take\nanswers a second and latencies for rough.\n\n"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    """The model's name, or at least the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
