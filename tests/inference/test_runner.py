"""Requests would be run twice, never, on the loop or without an error a person can act on, if these failed."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping

import numpy as np
import pytest

from mlserve.errors import BadRequest, InferenceFailed, NotReady
from mlserve.inference.feed import Feed
from mlserve.inference.on_loop import HEAVIEST, LIMIT_S, MOST_OWED, OnLoop
from mlserve.inference.runner import Runner
from mlserve.types import Array, Serving
from tests.support.deployments import as_lists, context, rows
from tests.support.models import FakeModel, Gate, double


def runner(model: FakeModel, *, inline_rows: int = 0, serving: Serving = Serving.ROWS) -> Runner:
    feed = Feed(model.signature, serving)
    return Runner("m", model, feed, threads=1, max_queued_rows=8, on_loop=OnLoop("m", inline_rows))


async def test_rows_go_through_the_model_in_one_run() -> None:
    """The plain case."""
    model = FakeModel()
    run = runner(model)
    assert as_lists(await run(rows(x=[1, 2, 3]), context())) == {"y": [2, 4, 6]}
    assert len(model.calls) == 1
    await run.close()


async def test_rows_served_one_by_one_are_as_many_runs() -> None:
    """In one task of one thread: a hand-over per row would cost more than the runs."""
    model = FakeModel()
    run = runner(model, serving=Serving.ONE)
    assert as_lists(await run(rows(x=[1, 2, 3]), context())) == {"y": [2, 4, 6]}
    assert [call["x"].tolist() for call in model.calls] == [[1], [2], [3]]
    await run.close()


class TestWhereItRuns:
    @staticmethod
    def recording() -> tuple[FakeModel, list[bool]]:
        on_loop: list[bool] = []
        here = threading.get_ident()

        def function(inputs: Mapping[str, Array]) -> dict[str, Array]:
            on_loop.append(threading.get_ident() == here)
            return double(inputs)

        return FakeModel(function), on_loop

    async def test_small_requests_stay_on_the_loop_and_larger_ones_leave_it(self) -> None:
        """The hand-over costs more than a short run; a long run would stop everybody else."""
        model, on_loop = self.recording()
        run = runner(model, inline_rows=2)
        for count in (1, 2, 3):
            await run(rows(x=[0] * count), context())
        assert on_loop == [True, True, False]
        await run.close()

    async def test_nothing_runs_on_the_loop_unless_it_was_measured(self) -> None:
        """No row is allowed there for any model of which the loader knows nothing better."""
        model, on_loop = self.recording()
        run = runner(model)
        await run(rows(x=[0]), context())
        assert on_loop == [False]
        await run.close()

    async def test_while_others_wait_for_a_thread_nobody_runs_on_the_loop(self) -> None:
        """The loop would be kept busy by a model that is already saturated."""
        on_loop: list[bool] = []
        here = threading.get_ident()
        with Gate() as gate:

            def function(inputs: Mapping[str, Array]) -> dict[str, Array]:
                on_loop.append(threading.get_ident() == here)
                return gate(inputs) if len(inputs["x"]) > 1 else double(inputs)

            run = runner(FakeModel(function), inline_rows=1)
            large = asyncio.create_task(run(rows(x=[1, 2]), context()))
            await asyncio.to_thread(gate.wait_for_arrival)
            small = asyncio.create_task(run(rows(x=[1]), context()))
            await asyncio.sleep(0)
            assert run.pending_rows == 3
            gate.open()
            await asyncio.gather(large, small)
        await run(rows(x=[1]), context())
        assert on_loop == [False, False, True]
        await run.close()

    @pytest.mark.parametrize("fails", [False, True])
    async def test_runs_that_hold_the_loop_up_leave_it(self, fails: bool) -> None:
        """Quick at load and slow in service, it would stop everybody; a run that fails takes as long."""
        model, on_loop = self.recording()
        double_it, now = model._function, 0.0

        def slow(inputs: Mapping[str, Array]) -> dict[str, Array]:
            nonlocal now
            now += LIMIT_S * HEAVIEST * 2
            answer = double_it(inputs)
            if fails:
                raise BadRequest("too slow, and refused")
            return answer

        model._function = slow
        judge = OnLoop("m", 1, wall=lambda: now, processor=lambda: now)
        run = Runner("m", model, Feed(model.signature, Serving.ROWS), threads=1, max_queued_rows=8, on_loop=judge)
        for _ in range(MOST_OWED // HEAVIEST + 2):
            if fails:
                with pytest.raises(BadRequest):
                    await run(rows(x=[1]), context())
            else:
                await run(rows(x=[1]), context())
        assert on_loop == [True] * (MOST_OWED // HEAVIEST) + [False] * 2
        await run.close()


@pytest.mark.parametrize("inline_rows", [0, 1], ids=["thread", "loop"])
class TestFailing:
    @pytest.mark.parametrize("error", [ValueError("secret row 42"), StopIteration(), SystemExit(3), TimeoutError()])
    async def test_what_the_model_raises_is_an_incident(
        self, inline_rows: int, error: BaseException, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The cause is the operator's to read, under the id that the client has, and nothing ends the server."""

        def fail(inputs: Mapping[str, Array]) -> dict[str, Array]:
            raise error

        run = runner(FakeModel(fail), inline_rows=inline_rows)
        with caplog.at_level(logging.ERROR), pytest.raises(InferenceFailed) as caught:
            await run(rows(x=[1]), context())
        (record,) = caplog.records
        assert caught.value.incident in record.getMessage()
        assert caught.value.incident in str(caught.value)
        assert record.exc_info is not None
        assert record.exc_info[1] is error
        assert "secret" not in str(caught.value)
        assert type(error).__name__ not in str(caught.value)
        await run.close()

    async def test_a_bad_request_passes_as_it_is(self, inline_rows: int) -> None:
        """The caller can mend it, and only with the words of who refused it."""

        def refuse(inputs: Mapping[str, Array]) -> dict[str, Array]:
            raise BadRequest("x must be even", field="x")

        run = runner(FakeModel(refuse), inline_rows=inline_rows)
        with pytest.raises(BadRequest, match="x must be even") as caught:
            await run(rows(x=[1]), context())
        assert caught.value.field == "x"
        await run.close()

    @pytest.mark.parametrize("output", [{"y": np.zeros(3)}, {}], ids=["misaligned", "missing"])
    async def test_answers_that_do_not_fit_are_incidents(self, inline_rows: int, output: dict[str, Array]) -> None:
        """A row must never get another row's answer."""
        run = runner(FakeModel(lambda inputs: output), inline_rows=inline_rows)
        with pytest.raises(InferenceFailed):
            await run(rows(x=[1]), context())
        await run.close()

    async def test_only_runs_that_ended_well_are_observed(self, inline_rows: int) -> None:
        """Times of failures would make the model look quick."""
        seen: list[tuple[float, int]] = []

        def odd_fails(inputs: Mapping[str, Array]) -> dict[str, Array]:
            if inputs["x"][0] % 2:
                raise ValueError
            return double(inputs)

        model = FakeModel(odd_fails)
        run = Runner(
            "m",
            model,
            Feed(model.signature, Serving.ROWS),
            threads=1,
            max_queued_rows=8,
            on_loop=OnLoop("m", inline_rows),
            observe=lambda seconds, count: seen.append((seconds, count)),
        )
        await run(rows(x=[2]), context())
        with pytest.raises(InferenceFailed):
            await run(rows(x=[1]), context())
        assert [count for _, count in seen] == [1]
        assert seen[0][0] > 0
        await run.close()

    async def test_after_closing_callers_are_told_so(self, inline_rows: int) -> None:
        """The model's memory is gone: to run it would end the process."""
        model = FakeModel()
        run = runner(model, inline_rows=inline_rows)
        await run.close()
        with pytest.raises(NotReady, match="m is closing"):
            await run(rows(x=[1]), context())
        assert model.calls == []


async def test_closing_waits_for_a_run_that_outlived_its_caller_and_frees_once() -> None:
    """To free a model under its run would end the process; not to free it would leak it."""
    with Gate() as gate:
        model = FakeModel(gate)
        run = runner(model)
        caller = asyncio.create_task(run(rows(x=[1]), context()))
        await asyncio.to_thread(gate.wait_for_arrival)
        caller.cancel()
        await asyncio.wait([caller])
        closing = asyncio.create_task(run.close())
        await asyncio.sleep(0.01)
        assert model.closed == 0
        gate.open()
        await closing
    assert model.closed == 1
    assert not model.closed_while_running
