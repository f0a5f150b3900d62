"""A file goes through a model piece by piece, each piece kept before the next, and through one version alone."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rich.console import Console

from mlserve.commands.pipes import Halt, HaltingFile
from mlserve.commands.row_reader import RowReader
from mlserve.commands.warm_report import WarmReport
from mlserve.commands.warm_rows import Plan, warm_rows
from mlserve.errors import SetupError
from mlserve.protocols.eval import EvalProtocol
from mlserve.serving.deployment import Deployment
from mlserve.types import Context, Rows
from tests.support.chained import Chained
from tests.support.deployments import deployment
from tests.support.held_predict import HeldPredict, double


class Desk:
    """A file of five rows, a model, and what happened, in order."""

    def __init__(self, file: HaltingFile, thread: ThreadPoolExecutor) -> None:
        self.happened: list[str] = []
        self.versions: list[Deployment] = [deployment(self.predict)]
        self.cached = Chained(self.run)
        self.report = WarmReport(Console(file=io.StringIO()), Console(file=io.StringIO()), bar=False, total_bytes=None)
        self.failure: Exception | None = None
        self._reader = RowReader(file, "rows", ["x"])
        self._thread = thread

    async def predict(self, rows: Rows, context: Context) -> Rows:
        return await self.cached.chain(rows, context)

    async def run(self, rows: Rows, context: Context) -> Rows:
        self.happened.append(f"computed {rows.columns['x'].tolist()}")
        return double(rows)

    def acquire(self) -> Deployment:
        return self.versions.pop(0) if len(self.versions) > 1 else self.versions[0]

    async def written(self) -> None:
        self.happened.append("written")
        if self.failure is not None:
            raise self.failure

    async def warm(self, plan: Plan) -> None:
        await warm_rows(self.acquire, self._reader, EvalProtocol(), self.report, plan, self.written, self._thread)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "rows").write_text("".join(f'{{"x": {x}}}\n' for x in (1, 2, 3, 1, 4)))
    descriptor = os.open(tmp_path / "rows", os.O_RDONLY)
    with Halt() as halt, ThreadPoolExecutor(1) as thread:
        yield Desk(HaltingFile(descriptor, halt), thread)
        halt.set()
    os.close(descriptor)


async def test_each_piece_is_kept_before_the_next_is_computed(desk: Desk) -> None:
    """Else a quick model would run ahead of a slow store, whose line drops what it cannot hold."""
    await desk.warm(Plan(batch=2))
    assert desk.happened == [
        "computed [1.0, 2.0]", "written", "computed [3.0]", "written", "computed [4.0]", "written"
    ]  # fmt: skip
    assert (desk.report.stored, desk.report.computed, desk.report.refused) == (1, 4, 0)


async def test_a_store_that_fails_ends_it(desk: Desk) -> None:
    """What cannot be kept is not worth computing; the model is left in order."""
    desk.failure = SetupError("the store is gone")
    with pytest.raises(SetupError, match="the store is gone"):
        await desk.warm(Plan(batch=2))
    assert desk.happened == ["computed [1.0, 2.0]", "written"]
    assert desk.versions[0].callers == 0


async def test_a_model_that_changes_ends_it(desk: Desk) -> None:
    """Half of the answers would be those of a version that nobody asks any more."""
    new = deployment(desk.predict, generation="fedcba" * 10)
    desk.versions = [desk.versions[0], desk.versions[0], new]
    with pytest.raises(SetupError, match="m has changed meanwhile"):
        await desk.warm(Plan(batch=2))
    assert desk.happened == ["computed [1.0, 2.0]", "written"]
    assert new.callers == 0


async def test_who_stops_it_stops_at_once(desk: Desk) -> None:
    """Ctrl-C while the model computes; the version must not count a caller that has gone."""
    held = HeldPredict()
    desk.cached = Chained(held)
    task = asyncio.create_task(desk.warm(Plan()))
    await held.arrived(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert desk.versions[0].callers == 0
    await desk.cached.chain.close()


@pytest.mark.parametrize(
    ("plan", "lines"),
    [
        (Plan(), 256),
        (Plan(batch=3), 3),
        (Plan(rows_per_s=10_000), 256),
        (Plan(rows_per_s=10.5), 10),
        (Plan(rows_per_s=0.1), 1),
    ],
)
def test_a_slow_rate_does_not_come_in_bursts(plan: Plan, lines: int) -> None:
    """Ten rows a second are not 256 every 26 seconds."""
    assert plan.lines == lines
