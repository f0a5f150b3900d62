"""A key would be computed twice at once, or wait for a run that has gone, if these failed."""

from __future__ import annotations

import asyncio

from mlserve.cache.flight import Flight, arrival
from mlserve.cache.flights import Flights, OnlyOf, any_flight, no_flight
from mlserve.deadlines import Deadlines
from mlserve.types import Context, Rows
from tests.support import virtual_time
from tests.support.deployments import rows
from tests.support.held_predict import HeldPredict
from tests.support.virtual_time import in_virtual_time


def kept_nowhere(flight: Flight, answer: Rows) -> None:
    flight.land()


def start(flights: Flights, *keys: bytes) -> Flight:
    context = Context(virtual_time.clock() + 10)
    return flights.start(list(keys), rows(x=[0.0] * len(keys)), context)


@in_virtual_time
async def test_which_runs_a_request_may_wait_for() -> None:
    """Any; none; or those that can fail for nothing but its own rows."""
    predict = HeldPredict(begins=True)
    flights = Flights(predict, kept_nowhere)
    both, one = start(flights, b"a", b"b"), start(flights, b"c")
    assert flights.of(b"a", any_flight) is both
    assert flights.of(b"a", no_flight) is None
    ours = OnlyOf([b"a", b"c"])
    assert [flights.of(key, ours) for key in (b"a", b"c", b"d")] == [None, one, None]
    assert flights.of(b"a", OnlyOf([b"b", b"a", b"z"])) is both
    await predict.arrived(2)
    for run in predict.runs:
        run.finish()
    await flights.landed()
    assert flights.of(b"a", any_flight) is None


@in_virtual_time
async def test_the_latest_run_owns_its_keys() -> None:
    """Also when the one before it lands later: its answer is not the one that was asked for anew."""
    predict = HeldPredict(begins=True)
    flights = Flights(predict, kept_nowhere)
    old, new = start(flights, b"a", b"b"), start(flights, b"a")
    assert flights.owned(old, [b"a", b"b"]) == [1]
    assert flights.owned(new, [b"a"]) == [0]
    await predict.arrived(2)
    predict.runs[0].finish()
    await arrival([old], virtual_time.clock() + 1, Deadlines())
    assert flights.of(b"a", any_flight) is new
    assert len(flights) == 1
    landed = asyncio.create_task(flights.landed())
    await asyncio.sleep(1)
    assert not landed.done()
    predict.runs[1].finish()
    await landed
    assert len(flights) == 0
