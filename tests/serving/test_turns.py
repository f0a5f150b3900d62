"""Turns to load: a load that hangs must not keep the other models of the server from loading."""

from __future__ import annotations

import asyncio

import pytest

from mlserve.serving.turns import Turns
from tests.support.loading import until


class Loads:
    """Loads that take a turn and hold it until told."""

    def __init__(self, turns: Turns) -> None:
        self.begun: list[str] = []
        self._turns = turns
        self._ends: dict[str, asyncio.Event] = {}

    def start(self, model_id: str) -> asyncio.Task[None]:
        self._ends[model_id] = asyncio.Event()
        return asyncio.create_task(self._load(model_id))

    def end(self, model_id: str) -> None:
        self._ends[model_id].set()

    async def _load(self, model_id: str) -> None:
        async with self._turns.take(model_id):
            self.begun.append(model_id)
            await self._ends[model_id].wait()


async def test_so_many_at_once_in_the_order_they_came() -> None:
    """Each load takes memory and processors: twenty at once would take those of the requests."""
    loads = Loads(Turns(2))
    tasks = [loads.start(model_id) for model_id in "abcd"]
    await until(lambda: loads.begun == ["a", "b"])
    loads.end("b")
    await until(lambda: loads.begun == ["a", "b", "c"])
    for model_id in "acd":
        loads.end(model_id)
    await asyncio.gather(*tasks)
    assert loads.begun == ["a", "b", "c", "d"]


async def test_a_load_that_hangs_loses_its_turn_once(caplog: pytest.LogCaptureFixture) -> None:
    """It is told of, others go on, and when it ends at last there are no more turns than before."""
    loads = Loads(Turns(1, long_s=0.01))
    hung = loads.start("hung")
    after = loads.start("after")
    await until(lambda: loads.begun == ["hung", "after"])
    assert "hung has been loading for 0 s; others no longer wait for it" in caplog.text
    loads.end("after")
    await after
    loads.end("hung")
    await hung
    loads = Loads(loads._turns)
    tasks = [loads.start("one"), loads.start("two")]
    await until(lambda: loads.begun == ["one"])
    loads.end("one")
    loads.end("two")
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("how", ["fails", "is cancelled", "is cancelled while it waits"])
async def test_a_turn_is_given_back_however_the_load_ends(how: str) -> None:
    """Otherwise the second failure would be the last load of the process."""
    turns = Turns(1)
    holding = Loads(turns)
    task = holding.start("a")
    await until(lambda: holding.begun == ["a"])
    if how == "fails":
        task.cancel()
        await asyncio.wait([task])
        with pytest.raises(ZeroDivisionError):
            async with turns.take("b"):
                raise ZeroDivisionError
    elif how == "is cancelled":
        task.cancel()
        await asyncio.wait([task])
    else:
        waiting = holding.start("b")
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        holding.end("a")
        await task
    async with asyncio.timeout(5), turns.take("c"):
        pass
