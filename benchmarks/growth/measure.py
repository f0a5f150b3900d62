"""Rounds: everything along an axis is asked in turn, then all of it again."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from benchmarks.growth.axis import Axis, Target
from benchmarks.growth.results import Grown
from benchmarks.wrk import ask


def grow(axis: Axis, *, rounds: int, seconds: int) -> list[Grown]:
    """One for each line. Raises :class:`RuntimeError` if a server does not start, or answers anything but 200."""
    began = time.perf_counter()
    with ExitStack() as stack:
        lines = axis.open(stack, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        found = [Grown(line.name, line.limit) for line in lines]
        for number in range(1, rounds + 1):
            for line, grown in zip(lines, found, strict=True):
                for count, target in line.targets.items():
                    grown.add(count, *_measure(target, seconds))
            took = time.perf_counter() - began
            print(f"{axis.title}: round {number} of {rounds} after {took:.0f} s", file=sys.stderr, flush=True)
    return found


def _measure(target: Target, seconds: int) -> tuple[float, float]:
    """Microseconds of processor for an answer, and answers a second."""
    process = psutil.Process(target.server.pid)
    before = sum(process.cpu_times()[:2])
    answered = ask(target.server.port, target.script, connections=target.connections, seconds=seconds)
    used_s = sum(process.cpu_times()[:2]) - before
    return used_s / answered.answers * 1e6, answered.answers / answered.seconds
