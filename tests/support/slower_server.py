"""``python -m tests.support.slower_server`` prints the daemon's steps, and those with a loop before its decoder."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import orjson

from benchmarks.guard.callers import settled
from benchmarks.guard.house import KeepingLoop, daemon
from benchmarks.guard.measure import counted
from benchmarks.guard.steps import StepCounter, Steps
from mlserve.protocols.eval import EvalProtocol

TURNS = 500
"""Of about four steps each."""


def slow_down_decoding() -> None:
    decode = EvalProtocol.decode

    def slower(self: EvalProtocol, *args: Any, **kwargs: Any) -> Any:
        for _ in range(TURNS):
            pass
        return decode(self, *args, **kwargs)

    EvalProtocol.decode = slower  # type: ignore[method-assign]  # what a careless change would do


async def both() -> list[dict[str, Steps]]:
    counter = StepCounter()
    async with daemon() as house:
        everyone = await settled(house)
        before = {callers.path.name: await counted(counter, callers) for callers in everyone}
        slow_down_decoding()
        return [before, {callers.path.name: await counted(counter, callers) for callers in everyone}]


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=KeepingLoop) as runner:
        sys.stdout.buffer.write(orjson.dumps(runner.run(both())))
