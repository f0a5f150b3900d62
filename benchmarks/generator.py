"""A load generator as a process on the second core."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from benchmarks.machine import load_core, pin
from benchmarks.process import ROOT


def generate_by(command: Sequence[str], *, stdin: bytes = b"", within_s: float) -> str:
    """What ``command`` printed. Raises :class:`RuntimeError` with its last line if it failed or took too long."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            pin(process.pid, load_core())
            said, why = process.communicate(stdin, timeout=within_s)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"the load did not end within {within_s:g} s") from error
        finally:
            process.kill()
    if process.returncode != 0:
        raise RuntimeError(f"the load ended with {process.returncode}: {_last_line(why or said)}")
    return said.decode()


def _last_line(said: bytes) -> str:
    return said.decode(errors="replace").strip().rpartition("\n")[2]
