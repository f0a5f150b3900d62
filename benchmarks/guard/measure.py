"""One measurement: ``python -m benchmarks.guard.measure steps`` (or ``times``) prints what it found as JSON.

The guard starts it in a process of its own, so that each finds a fresh server and none what another left behind.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any, Final

import orjson

from benchmarks.guard.callers import Callers, settled
from benchmarks.guard.house import KeepingLoop, daemon
from benchmarks.guard.steps import StepCounter, Steps
from benchmarks.guard.times import Beside
from benchmarks.process import ROOT

COUNTED: Final = 7
"""Requests counted of each path. Whatever else the server does meanwhile only adds: the least is the request's own."""
ENDS_WITHIN_S: Final = 300.0
"""Some seconds are enough, and a minute where ten others compute on two cores."""


def steps() -> dict[str, Steps]:
    """Of one request of each path, in a process of its own. Raises :class:`RuntimeError` if that fails."""
    found: dict[str, Steps] = _in_a_process("steps")
    return found


def ratios() -> dict[str, float]:
    """Of each path: how many answers of the bare server take as long as one. As :func:`steps`."""
    found: dict[str, float] = _in_a_process("times")
    return found


async def counted(counter: StepCounter, callers: Callers) -> Steps:
    """Of one request of theirs."""
    runs = []
    for _ in range(COUNTED):
        counter.start()
        await callers.ask()
        runs.append(counter.stop())
    return min(runs, key=lambda run: sum(run.values()))


async def _steps() -> dict[str, Steps]:
    counter = StepCounter()
    async with daemon() as house:
        return {callers.path.name: await counted(counter, callers) for callers in await settled(house)}


async def _ratios() -> dict[str, float]:
    async with daemon() as house:
        everyone = await settled(house)
        beside = Beside()
        return {callers.path.name: await beside.ratio(callers) for callers in everyone}


def _in_a_process(what: str) -> Any:
    command = [sys.executable, "-m", "benchmarks.guard.measure", what]
    # With another seed in each process, tables collide in other places, and times differ by a hundredth or two.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    said = " ".join(command)
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, timeout=ENDS_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{said} did not end within {ENDS_WITHIN_S:g} s: run it to see where it stands") from error
    if done.returncode:
        raise RuntimeError(f"{said} failed:\n{done.stderr.decode(errors='replace')}")
    return orjson.loads(done.stdout)


def main() -> None:
    """In the process of its own."""
    measured = {"steps": _steps, "times": _ratios}[sys.argv[1]]
    with asyncio.Runner(loop_factory=KeepingLoop) as runner:
        sys.stdout.buffer.write(orjson.dumps(runner.run(measured())))


if __name__ == "__main__":
    main()
