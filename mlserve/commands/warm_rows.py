"""All rows of a file through the version that serves, so many at a time, no faster than asked for.

::

    reader thread --rows--> (rate) --> the model's own Predict, cache and all --> written --> the next rows

The next rows wait until the tiers have taken what came of the last: their lines are bounded, and what does not fit
there would be lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from mlserve.commands.fill import fill
from mlserve.commands.pace import Pace
from mlserve.commands.row_reader import RowReader
from mlserve.commands.warm_report import WarmReport
from mlserve.contracts.protocol import Protocol
from mlserve.errors import SetupError
from mlserve.serving.deployment import Deployment

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """``batch`` lines at most go together, ``rows_per_s`` in a second, each with ``max_rows`` rows at most."""

    batch: int = 256
    rows_per_s: float | None = None
    max_rows: int = 10_000

    @property
    def lines(self) -> int:
        """How many to take at once: a slow rate is not to come in bursts."""
        return self.batch if self.rows_per_s is None else max(1, min(self.batch, int(self.rows_per_s)))


async def warm_rows(
    acquire: Callable[[], Deployment],
    reader: RowReader,
    protocol: Protocol,
    report: WarmReport,
    plan: Plan,
    written: Callable[[], Awaitable[None]],
    thread: ThreadPoolExecutor,
) -> None:
    """Until the file ends. ``written`` returns when the tiers have taken everything; ``thread`` reads and reports.

    Raises :class:`~mlserve.errors.MlserveError` for what is no row's fault, such as a model that changes meanwhile.
    """
    pace = Pace(plan.rows_per_s)
    generation = acquire().generation
    while rows := await _in_thread(thread, partial(reader.take, plan.lines)):
        await asyncio.sleep(pace.wait_s(len(rows)))
        with acquire() as deployment:
            if deployment.generation != generation:
                raise SetupError(f"{deployment.model_id} has changed meanwhile: warm the new version from the start")
            filled = await fill(deployment, protocol, rows, max_rows=plan.max_rows)
        await written()
        await _in_thread(thread, partial(report.filled, filled, reader))


async def _in_thread(thread: ThreadPoolExecutor, call: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(thread, call)
