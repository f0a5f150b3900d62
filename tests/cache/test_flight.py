"""A flight lands for all its callers at once, and ends with none of them."""

from __future__ import annotations

import asyncio

import pytest

from mlserve.cache.flight import FINISH_S, Flight, arrival
from mlserve.deadlines import Deadlines
from mlserve.errors import DeadlineExceeded
from mlserve.types import Context, Rows
from tests.support import virtual_time
from tests.support.deployments import rows
from tests.support.held_predict import HeldPredict, turns


class Log:
    """What flights say of themselves."""

    def __init__(self) -> None:
        self.stored: list[list[float]] = []
        self.landed: list[Flight] = []
        self._deadlines = Deadlines()

    def flight(self, predict: HeldPredict, *xs: float, seconds: float = 10.0) -> Flight:
        context = Context(asyncio.get_running_loop().time() + seconds, "id")
        keys = [str(x).encode() for x in xs]
        flight = Flight(keys, rows(x=list(xs)), context, store=self._store, landed=self.landed.append)
        flight.depart(predict)
        return flight

    async def arrival(self, *flights: Flight, seconds: float = 5.0) -> list[Flight]:
        return await arrival(flights, asyncio.get_running_loop().time() + seconds, self._deadlines)

    def _store(self, flight: Flight, answer: Rows) -> None:
        assert len(flight.keys) == flight.rows.count == answer.count
        self.stored.append(answer.columns["y"].tolist())
        flight.land()


def test_arrival_is_that_of_the_last() -> None:
    """An answer with a row missing would be none."""

    async def main() -> None:
        predict, log = HeldPredict(), Log()
        flights = [log.flight(predict, 1), log.flight(predict, 2, 3)]
        waiting = asyncio.create_task(log.arrival(*flights))
        await predict.arrived(2)
        predict.runs[1].finish()
        await turns()
        assert not waiting.done()
        predict.runs[0].finish()
        assert await waiting == []
        assert log.stored == [[4, 6], [2]]
        assert log.landed == [flights[1], flights[0]]

    virtual_time.run(main())


def test_arrival_of_one_that_failed_does_not_wait_for_the_others() -> None:
    """The request has failed already; what it alone waited for is taken back."""

    async def main() -> None:
        predict, log = HeldPredict(), Log()
        flights = [log.flight(predict, 1), log.flight(predict, 2)]
        waiting = asyncio.create_task(log.arrival(*flights))
        await predict.arrived(2)
        predict.runs[1].fail(ValueError("no"))
        assert await waiting == [flights[1]]
        await turns()
        assert isinstance(flights[0].error, asyncio.CancelledError)
        assert log.stored == []

    virtual_time.run(main())


def test_each_caller_has_its_own_deadline_and_the_run_the_latest() -> None:
    """A hasty caller neither waits for the patient one nor ends the run under it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        predict, log = HeldPredict(), Log()
        flight = log.flight(predict, 1, seconds=1)
        hasty = asyncio.create_task(log.arrival(flight, seconds=1))
        patient = asyncio.create_task(log.arrival(flight, seconds=8))
        with pytest.raises(DeadlineExceeded):
            await hasty
        assert loop.time() == pytest.approx(start + 1)
        assert predict.runs[0].context.deadline == pytest.approx(start + 8 + FINISH_S)
        with pytest.raises(DeadlineExceeded):
            await patient
        assert loop.time() == pytest.approx(start + 8)
        await turns()
        assert isinstance(flight.error, asyncio.CancelledError)

    virtual_time.run(main())


def test_a_run_that_is_cancelled_from_outside_does_not_leave_its_callers_waiting() -> None:
    """At the end of a loop every task is cancelled; nobody may hang in it."""

    async def main() -> None:
        predict, log = HeldPredict(), Log()
        flight = log.flight(predict, 1)
        waiting = asyncio.create_task(log.arrival(flight))
        await predict.arrived(1)
        (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "flight"]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    virtual_time.run(main())


def test_the_run_knows_the_request_and_nothing_of_its_cache_control() -> None:
    """Others may have joined it: what its first caller asked of the cache is not theirs."""

    async def main() -> None:
        predict, log = HeldPredict(), Log()
        flight = log.flight(predict, 1)
        waiting = asyncio.create_task(log.arrival(flight))
        await predict.arrived(1)
        context = predict.runs[0].context
        assert (context.request_id, context.cache, context.cache_status) == ("id", "normal", "")
        predict.runs[0].finish()
        await waiting

    virtual_time.run(main())
