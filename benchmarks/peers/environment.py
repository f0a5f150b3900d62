"""An environment for each peer, outside the repository: what they need must not meet what we need."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

ONNXRUNTIME: Final = f"onnxruntime=={version('onnxruntime')}"
"""All of them run the model on the ONNX Runtime that we run it on."""
INSTALLED_WITHIN_S: Final = 1_200
_STAMP: Final = "installed.txt"


class Unavailable(Exception):
    """This peer cannot be measured here; the message says why."""


def python_for(name: str, requirements: tuple[str, ...]) -> Path:
    """The interpreter that has ``requirements``, installed now if they are not. Without any: the one that runs this.

    Raises :class:`Unavailable` with the last lines of pip.
    """
    if not requirements:
        return Path(sys.executable)
    folder = cache_folder() / name.lower()
    python, stamp, wanted = folder / "bin/python", folder / _STAMP, "\n".join(requirements)
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"{name}: installing {', '.join(requirements)} into {folder}", file=sys.stderr, flush=True)
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements])
    stamp.write_text(wanted, encoding="utf-8")
    return python


def cache_folder() -> Path:
    """Where environments stay for the next run: delete it whenever you like."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "mlserve-benchmarks"


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALLED_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"cannot be installed: {error}") from error
    if done.returncode != 0:
        raise Unavailable(f"cannot be installed: {' '.join((done.stderr or done.stdout).split()[-40:])}")
