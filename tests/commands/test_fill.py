"""What a file's rows become: found, computed, or refused for a reason of their own, and nothing else."""

from __future__ import annotations

import asyncio
import re

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.commands.file_row import FileRow, RowRequest
from mlserve.commands.fill import Filled, Refusal, fill, rows_stored
from mlserve.errors import BadRequest, InferenceFailed, Overloaded, SetupError
from mlserve.protocols.eval import EvalProtocol
from mlserve.types import Context, DType, InputField, Interface, Predict, Rows, Serving
from tests.support import virtual_time
from tests.support.chained import Chained
from tests.support.deployments import deployment, interface
from tests.support.held_predict import HeldPredict, double

RAGGED = interface(InputField("x", DType.FLOAT32, (None,)))
WHOLE = interface(InputField("x", DType.FLOAT32, (2,)), serving=Serving.WHOLE)


class Picky:
    """Doubles; fails on a run that holds one of ``bad``. Remembers what it has computed."""

    def __init__(self, *bad: float) -> None:
        self.bad = bad
        self.computed: list[float] = []
        self.runs = 0

    async def __call__(self, rows: Rows, context: Context) -> Rows:
        self.runs += 1
        if np.isin(rows.columns["x"], self.bad).any():
            try:
                raise ValueError("no such penguin")
            except ValueError as cause:
                raise InferenceFailed("the model failed; the log has it", incident="1") from cause
        self.computed += rows.columns["x"].ravel().tolist()
        return double(rows)


def posts(*bodies: object) -> list[FileRow]:
    """A line each, from 1 on."""
    return [FileRow(line, RowRequest("POST", body=orjson.dumps(body))) for line, body in enumerate(bodies, 1)]


async def filled(predict: Predict, *bodies: object, face: Interface | None = None) -> Filled:
    """Of rows that ``predict`` answers through a cache in memory."""
    chain = Chained(predict, face=face).chain
    return await fill(deployment(chain, face), EvalProtocol(), posts(*bodies), max_rows=10)


async def test_rows_go_together_and_are_counted() -> None:
    """A row that is there already costs nothing, and is told apart from one that was computed."""
    predict = Picky()
    chain = Chained(predict).chain
    version = deployment(chain)
    first = await fill(version, EvalProtocol(), posts({"x": 1}, {"x": 2}), max_rows=10)
    assert (first, predict.runs) == (Filled(0, 2), 1)
    again = await fill(version, EvalProtocol(), posts({"x": 2}, {"x": 3}, {"x": 1}), max_rows=10)
    assert (again, predict.runs) == (Filled(2, 1), 2)
    assert await fill(version, EvalProtocol(), posts({"x": 3}), max_rows=10) == Filled(1, 0)


async def test_a_get_and_a_post_of_one_row_are_one_row() -> None:
    """A file of either kind warms for callers of both."""
    predict = Picky()
    rows = [*posts({"x": 1.5}), FileRow(2, RowRequest("GET", query="x=1.50"))]
    await fill(deployment(Chained(predict).chain), EvalProtocol(), rows, max_rows=10)
    assert predict.computed == [1.5]


@given(st.lists(st.integers(0, 30), max_size=20), st.sets(st.integers(0, 30)))
def test_exactly_the_bad_rows_are_refused(xs: list[int], bad: set[int]) -> None:
    """One row that the model does not take would cost its neighbours, or pass for good."""
    predict = Picky(*bad)
    found = virtual_time.run(filled(predict, *[{"x": x} for x in xs]))
    lines = [line for line, x in enumerate(xs, 1) if x in bad]
    assert found.refused == tuple(Refusal(line, "ValueError: no such penguin") for line in lines)
    assert set(predict.computed) == set(xs) - bad
    assert found.stored + found.computed == len(xs) - len(lines)


async def test_what_is_no_row_of_this_model_is_refused_by_its_line() -> None:
    """With the words of a 400, so that they need no looking up."""
    rows = [FileRow(7, None, "not UTF-8"), *posts({"x": 1}, {"x": "heavy"}, {"y": 1}, [1])]
    found = await fill(deployment(Chained(Picky()).chain), EvalProtocol(), rows, max_rows=10)
    assert found.computed == 1
    assert [(line, re.split("[,;]", reason)[0]) for line, reason in found.refused] == [
        (2, "field 'x': expected a number (float32)"),
        (3, "failed to build request due to missing fields: [x]"),
        (4, 'expected a JSON object such as {"x":1}'),
        (7, "not UTF-8"),
    ]


async def test_a_line_may_hold_several_rows() -> None:
    """A log of bodies can be used as it is; of such a line, only the rows at fault are refused."""
    found = await filled(Picky(2), {"x": [1, 2, 3]}, {"x": 4, "batch_size": 1}, {"x": [0] * 11})
    assert found.computed == 3
    assert [refusal.line for refusal in found.refused] == [1, 3]


async def test_rows_of_different_shapes_do_not_share_a_run() -> None:
    """No array holds them both."""
    predict = Picky()
    found = await filled(predict, {"x": [1, 2]}, {"x": [3]}, {"x": [4]}, face=RAGGED)
    assert (found, predict.runs) == (Filled(0, 3), 2)


async def test_a_request_served_whole_goes_alone() -> None:
    """Two of them are no larger one."""
    predict = Picky()
    found = await filled(predict, {"x": [1, 2]}, {"x": [3, 4]}, face=WHOLE)
    assert (found, predict.runs) == (Filled(0, 2), 2)


async def test_answers_that_cannot_be_kept_end_it() -> None:
    """Hours of computing would leave nothing behind."""

    async def odd(rows: Rows, context: Context) -> Rows:
        column = np.empty(rows.count, object)
        column[:] = [object()] * rows.count
        return Rows({"y": column}, rows.count)

    version = deployment(Chained(odd).chain)
    await fill(version, EvalProtocol(), posts({"x": 1}), max_rows=10)
    with pytest.raises(SetupError, match="line 1: the model's answers cannot be cached"):
        await fill(version, EvalProtocol(), posts({"x": 2}, {"x": 3}), max_rows=10)


async def test_a_full_queue_is_met_with_fewer_rows() -> None:
    """A queue shorter than a batch is no reason to refuse."""

    async def narrow(rows: Rows, context: Context) -> Rows:
        if rows.count > 2:
            raise Overloaded("the queue is full")
        return double(rows)

    assert await filled(narrow, *[{"x": x} for x in range(9)]) == Filled(0, 9)


async def test_a_fault_of_the_row_without_a_cause_is_told_as_it_is() -> None:
    """The model may refuse a row in words of its own."""

    async def refusing(rows: Rows, context: Context) -> Rows:
        raise BadRequest("row 0: too light")

    assert (await filled(refusing, {"x": 1})).refused == (Refusal(1, "row 0: too light"),)


async def test_a_model_that_hangs_ends_it() -> None:
    """In halves it would hang for as long again, and again."""
    predict = HeldPredict()
    cached = Chained(predict)
    with pytest.raises(SetupError, match="line 1: no answer before the deadline"):
        await fill(deployment(cached.chain), EvalProtocol(), posts({"x": 1}, {"x": 2}), max_rows=10, patience_s=0.01)
    assert len(predict.runs) == 1
    await cached.chain.close()


async def test_a_caller_that_leaves_ends_the_wait() -> None:
    """Ctrl-C must not wait for a slow model."""
    predict = HeldPredict()
    chain = Chained(predict).chain
    version = deployment(chain)
    task = asyncio.create_task(fill(version, EvalProtocol(), posts({"x": 1}), max_rows=10))
    await predict.arrived(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await chain.close()


@pytest.mark.parametrize(
    ("status", "rows", "stored"),
    [
        ("memory; hit; ttl=863", 1, 1),
        ("l1; hit", 1, 1),
        ("mlserve; fwd=miss; stored", 1, 0),
        ("mlserve; fwd=miss; collapsed", 1, 0),
        ('mlserve; detail="memory=90 l1=5 miss=5"', 100, 95),
        ('mlserve; detail="memory=0 miss=3"', 3, 0),
        ('mlserve; detail="memory=0 l2=4"', 4, 4),
        ("mlserve; fwd=bypass", 3, None),
        ("", 3, None),
    ],
)
def test_what_a_status_says_of_the_tiers(status: str, rows: int, stored: int | None) -> None:
    """The counts at the end are made of this."""
    assert rows_stored(status, rows) == stored
