"""A ``Predict`` whose runs a test starts, counts, ends and makes fail, one by one."""

from __future__ import annotations

import asyncio

import numpy as np

from mlserve.types import Context, Rows


class HeldPredict:
    """``y`` is twice ``x``, once a test says so: every run waits in ``runs`` for :meth:`finish` or :meth:`fail`."""

    def __init__(self, *, begins: bool = False) -> None:
        self.runs: list[Run] = []
        self._begins = begins
        self._came = asyncio.Condition()

    async def __call__(self, rows: Rows, context: Context) -> Rows:
        run = Run(rows, context, asyncio.get_running_loop().create_future())
        context.begun = self._begins
        self.runs.append(run)
        async with self._came:
            self._came.notify_all()
        await run.answer
        return double(rows)

    async def arrived(self, count: int) -> None:
        """Until ``count`` runs have come, since the beginning."""
        async with asyncio.timeout(10), self._came:
            await self._came.wait_for(lambda: len(self.runs) >= count)

    @property
    def xs(self) -> list[list[float]]:
        """The values of ``x`` in every run so far."""
        return [run.xs for run in self.runs]


class Run:
    """One call of a :class:`HeldPredict`."""

    def __init__(self, rows: Rows, context: Context, answer: asyncio.Future[None]) -> None:
        self.rows = rows
        self.context = context
        self.answer = answer

    @property
    def xs(self) -> list[float]:
        return [float(x) for x in self.rows.columns["x"].ravel()]

    def finish(self) -> None:
        self.answer.set_result(None)

    def fail(self, error: Exception) -> None:
        self.answer.set_exception(error)


def double(rows: Rows) -> Rows:
    """``y`` is twice ``x``."""
    return Rows({"y": np.asarray(rows.columns["x"] * 2)}, rows.count)


async def turns(count: int = 5) -> None:
    """Lets everything that is ready run: each turn is one step of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)
