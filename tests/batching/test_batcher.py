"""Rows of many requests share runs, and every caller gets its own."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from mlserve.batching.batcher import Batcher
from mlserve.batching.window import BatchPolicy
from mlserve.contracts.batching import BatchState
from mlserve.errors import DeadlineExceeded, InferenceFailed, NotReady, Overloaded
from mlserve.promise import Promise
from mlserve.types import Context, Predict, Rows
from tests.support import virtual_time
from tests.support.deployments import rows
from tests.support.held_predict import HeldPredict, double, turns


def policy(max_rows: int = 8, queued: int = 100, runs: int = 1, **rest: Any) -> BatchPolicy:
    return BatchPolicy(max_rows=max_rows, max_queued_rows=queued, max_runs=runs, **rest)


def soon(seconds: float = 30.0) -> Context:
    return Context(asyncio.get_running_loop().time() + seconds)


def ask(batcher: Batcher, *xs: float, context: Context | None = None) -> asyncio.Task[Rows]:
    return asked_of(batcher, rows(x=list(xs)), context)


def asked_of(batcher: Batcher, asked: Rows, context: Context | None = None) -> asyncio.Task[Rows]:
    async def caller() -> Rows:
        return await batcher(asked, context or soon())

    return asyncio.create_task(caller())


def ys(answer: Rows) -> list[float]:
    assert answer.count == len(answer.columns["y"])
    return [float(y) for y in answer.columns["y"].ravel()]


async def test_a_row_that_finds_the_runner_idle_goes_at_once() -> None:
    """Batch while busy: nobody waits for company."""
    predict = HeldPredict()
    batcher = Batcher("m", predict, policy())
    asked = ask(batcher, 1)
    await turns(4)
    assert predict.xs == [[1]]
    predict.runs[0].finish()
    assert ys(await asked) == [2]


class TestAlone:
    """One caller at a time: nobody comes with him, so he has nothing to wait for."""

    @staticmethod
    async def batcher(predict: Predict, **rest: Any) -> Batcher:
        """One that has seen a request come alone."""
        batcher = Batcher("m", predict, policy(**rest))
        await batcher(rows(x=[0]), soon())
        return batcher

    @staticmethod
    def at_once(asked: Rows, context: Context) -> Promise:
        """As the runner answers on the loop."""
        return Promise.of(double(asked))

    async def test_an_answer_on_the_loop_takes_no_step(self) -> None:
        """A step of the loop costs more than a quick model."""
        batcher = await self.batcher(self.at_once)
        promise = batcher(rows(x=[1]), soon())
        assert isinstance(promise, Promise)
        assert promise.kept
        assert ys(await promise) == [2]
        await batcher.close()

    async def test_the_next_in_that_step_waits_for_others_that_come_with_it(self) -> None:
        """One run too many is what it costs to learn that they come together."""
        sizes: list[int] = []

        def predict(asked: Rows, context: Context) -> Promise:
            sizes.append(asked.count)
            return self.at_once(asked, context)

        batcher = await self.batcher(predict)
        for _ in range(2):
            answers = await asyncio.gather(*(batcher(rows(x=[x]), soon()) for x in range(4)))
            assert [ys(answer) for answer in answers] == [[0], [2], [4], [6]]
        assert sizes == [1, 1, 3, 4]

    async def test_it_is_told_as_a_run_while_it_waits_for_a_thread(self) -> None:
        """Those that come meanwhile are to form the next batch."""
        predict = HeldPredict()
        batcher = Batcher("m", predict, policy())
        ask(batcher, 0)
        await predict.arrived(1)
        predict.runs[0].finish()
        await turns()
        alone = ask(batcher, 1)
        await predict.arrived(2)
        assert (batcher.state().runs, batcher.rows, batcher.queued_rows) == (1, 1, 0)
        later = [ask(batcher, 2), ask(batcher, 3)]
        await turns()
        assert batcher.rows == 3
        predict.runs[1].finish()
        await predict.arrived(3)
        predict.runs[2].finish()
        assert [ys(answer) for answer in await asyncio.gather(alone, *later)] == [[2], [4], [6]]
        assert batcher.rows == 0

    @pytest.mark.parametrize("how", ["cancelled", "late"])
    async def test_a_caller_that_leaves_does_not_end_the_run(self, how: str) -> None:
        """What has begun is finished, and the batcher is not closed under it."""
        predict = HeldPredict()
        batcher = Batcher("m", predict, policy())
        first = ask(batcher, 0)
        await predict.arrived(1)
        predict.runs[0].finish()
        await first
        leaver = ask(batcher, 1, context=soon(30.0 if how == "cancelled" else 0.01))
        await predict.arrived(2)
        if how == "cancelled":
            leaver.cancel()
        await asyncio.wait([leaver])
        closing = asyncio.create_task(batcher.close())
        await turns()
        assert not closing.done()
        assert not predict.runs[1].answer.cancelled()
        predict.runs[1].finish()
        await closing
        assert batcher.rows == 0
        with pytest.raises(asyncio.CancelledError if how == "cancelled" else DeadlineExceeded):
            leaver.result()

    async def test_an_error_on_the_loop_is_its_own(self) -> None:
        """And the next one is answered."""
        batcher = await self.batcher(self.refusing_13)
        with pytest.raises(ValueError, match="13"):
            await batcher(rows(x=[13]), soon())
        await turns()
        assert ys(await batcher(rows(x=[1]), soon())) == [2]

    def refusing_13(self, asked: Rows, context: Context) -> Promise:
        if 13 in asked.columns["x"]:
            raise ValueError("13")
        return self.at_once(asked, context)

    async def test_a_window_is_kept_all_the_same(self) -> None:
        """Its owner has asked to wait for company, whatever was seen of it."""
        batcher = await self.batcher(self.at_once, wait_s=0.002)
        promise = batcher(rows(x=[1]), soon())
        assert isinstance(promise, Promise)
        assert not promise.kept
        assert ys(await promise) == [2]


async def test_runs_on_the_loop_do_not_hold_it_for_the_whole_line() -> None:
    """Others have their turn between the runs of a long line, as they have between those of threads."""
    runs = 0

    def predict(asked: Rows, context: Context) -> Promise:
        nonlocal runs
        runs += 1
        return Promise.of(double(asked))

    batcher = Batcher("m", predict, policy(max_rows=1, runs=2))
    asked = [ask(batcher, x) for x in range(6)]
    seen = []
    while not all(task.done() for task in asked):
        await asyncio.sleep(0)
        seen.append(runs)
    assert set(seen) >= {0, 2, 4, 6}


async def test_close_waits_for_what_runs_again_alone() -> None:
    """The batch has begun: its good rows are answered, though the batcher closes between the two runs."""
    predict = HeldPredict()
    batcher = Batcher("m", predict, policy())
    asked = [ask(batcher, 1), ask(batcher, 2)]
    await predict.arrived(1)
    closing = asyncio.create_task(batcher.close())
    await turns()
    predict.runs[0].fail(ValueError("no"))
    await predict.arrived(2)
    predict.runs[1].finish()
    await predict.arrived(3)
    assert not closing.done()
    predict.runs[2].finish()
    await closing
    assert [ys(answer) for answer in await asyncio.gather(*asked)] == [[2], [4]]


async def test_rows_of_one_step_share_a_run() -> None:
    """Requests that arrive together run together though the runner is idle."""
    predict = HeldPredict()
    batcher = Batcher("m", predict, policy())
    asked = [ask(batcher, 1), ask(batcher, 2, 3), ask(batcher, 4)]
    await predict.arrived(1)
    assert predict.xs == [[1, 2, 3, 4]]
    predict.runs[0].finish()
    assert [ys(answer) for answer in await asyncio.gather(*asked)] == [[2], [4, 6], [8]]
    assert len(predict.runs) == 1


async def test_rows_that_arrive_during_a_run_form_the_next() -> None:
    """A busy runner is what fills batches, and whoever counts the line is told of each row that comes and goes."""
    predict = HeldPredict()
    changes: list[int] = []
    batcher = Batcher("m", predict, policy(), on_queued=changes.append)
    first = ask(batcher, 1)
    await predict.arrived(1)
    later = []
    for x in (2, 3, 4):
        later.append(ask(batcher, x))
        await turns()
    assert len(predict.runs) == 1
    assert batcher.queued_rows == 3
    predict.runs[0].finish()
    await predict.arrived(2)
    assert batcher.queued_rows == 0
    assert (max(changes), sum(changes)) == (1, 0)
    predict.runs[1].finish()
    assert predict.xs == [[1], [2, 3, 4]]
    assert [ys(answer) for answer in await asyncio.gather(first, *later)] == [[2], [4], [6], [8]]


async def test_the_cap_holds_and_large_requests_are_put_together_again() -> None:
    """No run is larger than MaxBatchSize; the rows of a split request come back in order."""
    sizes: list[int] = []

    async def predict(asked: Rows, context: Context) -> Rows:
        sizes.append(asked.count)
        return double(asked)

    batcher = Batcher("m", predict, policy(max_rows=4, runs=3))
    asked = [ask(batcher, *range(11)), ask(batcher, 100), ask(batcher, *range(20, 29))]
    answers = [ys(answer) for answer in await asyncio.gather(*asked)]
    assert answers == [[2 * x for x in range(11)], [200], [2 * x for x in range(20, 29)]]
    assert max(sizes) <= 4
    assert sum(sizes) == 21
    assert batcher.queued_rows == 0


async def test_runs_go_side_by_side_up_to_the_bound() -> None:
    """MaxEvaluatorConcurrency runs, and no more."""
    predict = HeldPredict()
    batcher = Batcher("m", predict, policy(max_rows=1, runs=2))
    asked = [ask(batcher, x) for x in (1, 2, 3)]
    await turns()
    assert predict.xs == [[1], [2]]
    predict.runs[1].finish()
    await predict.arrived(3)
    predict.runs[0].finish()
    predict.runs[2].finish()
    assert [ys(answer) for answer in await asyncio.gather(*asked)] == [[2], [4], [6]]


async def test_rows_of_other_shapes_and_types_never_share_a_run() -> None:
    """Joining them would fail, or change what a row is."""
    runs: list[Sequence[Any]] = []

    async def predict(asked: Rows, context: Context) -> Rows:
        column = asked.columns["x"]
        runs.append((column.dtype, column.shape))
        return double(asked)

    batcher = Batcher("m", predict, policy(runs=1))
    narrow, wide = np.ones((1, 2), np.float32), np.ones((1, 3), np.float32)
    columns = [narrow, wide, narrow, wide.astype(np.float64), wide]
    answers = await asyncio.gather(*(batcher(Rows({"x": column}, 1), soon()) for column in columns))
    assert [answer.columns["y"].shape for answer in answers] == [column.shape for column in columns]
    assert [answer.columns["y"].dtype for answer in answers] == [column.dtype for column in columns]
    assert runs == [(np.float32, (2, 2)), (np.float32, (2, 3)), (np.float64, (1, 3))]


async def test_the_oldest_row_decides_whose_turn_it_is() -> None:
    """A kind of rows with many callers must not starve one with few."""
    predict = HeldPredict()
    batcher = Batcher("m", predict, policy(max_rows=2))
    busy = ask(batcher, 0)
    await predict.arrived(1)
    asked = [ask(batcher, x) for x in (1, 2, 3)]
    await turns()
    asked.append(asked_of(batcher, Rows({"x": np.full((1, 2), 9.0)}, 1)))
    await turns()
    asked.append(ask(batcher, 4))
    for index in range(4):
        await predict.arrived(index + 1)
        predict.runs[index].finish()
    await asyncio.gather(busy, *asked)
    assert predict.xs == [[0], [1, 2], [3, 4], [9, 9]]


def test_the_window_counts_from_the_first_row() -> None:
    """Later rows must not keep a batch open for ever."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        began: list[tuple[float, int]] = []
        start = loop.time()

        async def predict(asked: Rows, context: Context) -> Rows:
            began.append((round(loop.time() - start, 6), asked.count))
            return double(asked)

        batcher = Batcher("m", predict, policy(wait_s=0.010), clock=loop.time)
        asked = []
        for x in range(4):
            asked.append(ask(batcher, x))
            await asyncio.sleep(0.004)
        await asyncio.gather(*asked)
        assert began == [(0.010, 3), (0.022, 1)]

    virtual_time.run(main())


def test_a_full_batch_does_not_wait_for_its_window() -> None:
    """The window is for company; a batch that is full has it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        batcher = Batcher("m", _doubling, policy(max_rows=3, wait_s=10.0), clock=loop.time)
        first = ask(batcher, 1)
        await asyncio.sleep(1)
        assert not first.done()
        await asyncio.gather(first, ask(batcher, 2, 3))
        assert loop.time() - start == pytest.approx(1.0)

    virtual_time.run(main())


def test_each_kind_of_rows_has_its_own_window() -> None:
    """Rows that cannot share a run do not fill a batch together."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        ended: dict[str, float] = {}

        async def one(name: str, delay: float, column: Any) -> None:
            await asyncio.sleep(delay)
            await batcher(Rows({"x": column}, len(column)), soon())
            ended[name] = round(loop.time() - start, 6)

        batcher = Batcher("m", _doubling, policy(max_rows=4, wait_s=1.0, runs=5), clock=loop.time)
        flat, wide = np.ones(3), np.ones((3, 2))
        await asyncio.gather(one("flat", 0.0, flat), one("wide", 0.5, wide), one("full", 0.7, np.ones((1, 2))))
        assert ended == {"flat": 1.0, "wide": 0.7, "full": 0.7}

    virtual_time.run(main())


def test_adjustments_widen_the_window_with_the_runs() -> None:
    """TimeoutAdjustments: nothing runs, no wait; one runs, one increment; a run that ends closes the window."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        began: list[float] = []

        async def predict(asked: Rows, context: Context) -> Rows:
            began.append(round(loop.time() - start, 6))
            await asyncio.sleep(float(asked.columns["x"][0]))
            return double(asked)

        batcher = Batcher("m", predict, policy(runs=4, increment_s=0.1, increment_max=2), clock=loop.time)
        asked = [ask(batcher, 0.15)]
        await turns()
        asked.append(ask(batcher, 5))
        await asyncio.sleep(0.12)
        asked.append(ask(batcher, 1))  # two run: its window is 0.2, until one of them ends, at 0.15
        await asyncio.sleep(0.04)
        await asyncio.gather(*asked)
        assert began == [0.0, 0.1, 0.22]

    virtual_time.run(main())


async def test_a_full_line_is_refused_and_says_when_to_come_back() -> None:
    """Unbounded queues turn overload into timeouts for all."""
    predict = HeldPredict()
    batcher = Batcher("m", predict, policy(queued=3))
    asked = [ask(batcher, 0)]
    await predict.arrived(1)
    asked += [ask(batcher, 1, 2), ask(batcher, 3)]
    await turns()
    with pytest.raises(Overloaded, match="m has 3 rows waiting; its limit is 3") as refused:
        await batcher(rows(x=[4]), soon())
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s > 0
    predict.runs[0].finish()
    await predict.arrived(2)
    asked.append(ask(batcher, 5))
    await turns()
    predict.runs[1].finish()
    await predict.arrived(3)
    predict.runs[2].finish()
    await asyncio.gather(*asked)


async def test_one_request_larger_than_the_line_is_taken_when_nothing_waits() -> None:
    """Otherwise it could never be answered."""
    batcher = Batcher("m", _doubling, policy(max_rows=4, queued=3))
    assert ys(await batcher(rows(x=range(10)), soon())) == [2 * x for x in range(10)]


async def test_no_rows_cost_no_run_of_others() -> None:
    """A request without rows must not wait for one that has some."""
    batcher = Batcher("m", _doubling, policy())
    assert (await batcher(Rows({"x": np.empty(0, np.float32)}, 0), soon())).count == 0


def test_a_deadline_that_passes_in_line_costs_no_run() -> None:
    """Rows that nobody waits for must not take the place of rows that somebody does."""

    async def main() -> None:
        predict = HeldPredict()
        batcher = Batcher("m", predict, policy(), clock=virtual_time.clock)
        busy = ask(batcher, 0)
        await predict.arrived(1)
        late, patient = ask(batcher, 1, context=soon(1)), ask(batcher, 2)
        with pytest.raises(DeadlineExceeded):
            await late
        assert batcher.queued_rows == 1
        predict.runs[0].finish()
        await predict.arrived(2)
        predict.runs[1].finish()
        await asyncio.gather(busy, patient)
        assert predict.xs == [[0], [2]]

    virtual_time.run(main())


def test_a_deadline_that_passes_in_the_run_leaves_the_run_alone() -> None:
    """The others in the batch get their answers; the runner counts as busy until it is not."""

    async def main() -> None:
        predict = HeldPredict()
        batcher = Batcher("m", predict, policy(), clock=virtual_time.clock)
        late, patient = ask(batcher, 1, context=soon(1)), ask(batcher, 2)
        with pytest.raises(DeadlineExceeded):
            await late
        third = ask(batcher, 3)
        await turns()
        assert len(predict.runs) == 1
        predict.runs[0].finish()
        assert ys(await patient) == [4]
        await predict.arrived(2)
        predict.runs[1].finish()
        assert ys(await third) == [6]

    virtual_time.run(main())


async def test_a_deadline_already_past_is_refused_at_the_door() -> None:
    """It would only be dropped later."""
    batcher = Batcher("m", HeldPredict(), policy())
    with pytest.raises(DeadlineExceeded):
        await batcher(rows(x=[1]), soon(-1))
    assert batcher.queued_rows == 0


async def test_a_caller_that_leaves_the_line_makes_room_at_once() -> None:
    """Callers that gave up must not keep others out while the runner is busy."""
    predict = HeldPredict()
    batcher = Batcher("m", predict, policy(max_rows=2, queued=5))
    busy = ask(batcher, 0)
    await predict.arrived(1)
    leaver = ask(batcher, 1, 2, 3, 4, 5)
    await turns()
    assert batcher.queued_rows == 5
    leaver.cancel()
    await asyncio.wait([leaver])
    assert leaver.cancelled()
    assert batcher.queued_rows == 0
    stayer = ask(batcher, 6)
    predict.runs[0].finish()
    await predict.arrived(2)
    predict.runs[1].finish()
    await asyncio.gather(busy, stayer)
    assert predict.xs == [[0], [6]]


async def test_a_caller_that_leaves_a_run_harms_nobody() -> None:
    """The run is the batcher's, not the caller's."""
    predict = HeldPredict()
    batcher = Batcher("m", predict, policy())
    context = soon()
    leaver, stayer = ask(batcher, 1, context=context), ask(batcher, 2)
    await predict.arrived(1)
    assert context.begun
    leaver.cancel()
    await asyncio.wait([leaver])
    predict.runs[0].finish()
    assert ys(await stayer) == [4]


async def test_a_failing_batch_is_run_again_one_by_one_and_once() -> None:
    """One caller's bad row must not fail its neighbours, nor be tried for ever."""
    runs: list[list[float]] = []

    async def predict(asked: Rows, context: Context) -> Rows:
        xs = asked.columns["x"].tolist()
        runs.append(xs)
        if 13 in xs:
            raise InferenceFailed("unlucky", incident="x")
        return double(asked)

    batcher = Batcher("m", predict, policy())
    asked = [ask(batcher, 1), ask(batcher, 13), ask(batcher, 2, 3)]
    one, bad, two = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(bad, InferenceFailed)
    assert isinstance(one, Rows)
    assert isinstance(two, Rows)
    assert (ys(one), ys(two)) == ([2], [4, 6])
    assert runs == [[1, 13, 2, 3], [1], [13], [2, 3]]


async def test_a_request_alone_in_its_failing_batch_is_not_run_again() -> None:
    """It has had its run alone."""
    predict = HeldPredict()
    batcher = Batcher("m", predict, policy())
    asked = ask(batcher, 1, 2)
    await predict.arrived(1)
    predict.runs[0].fail(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await asked
    assert len(predict.runs) == 1


@pytest.mark.parametrize("error", [NotReady("closing"), Overloaded("full"), DeadlineExceeded("late")])
async def test_a_refusal_of_the_runner_is_everybodys(error: Exception) -> None:
    """It says nothing about any row: to ask again for each would only add to the load."""
    predict = HeldPredict()
    batcher = Batcher("m", predict, policy())
    asked = [ask(batcher, 1), ask(batcher, 2)]
    await predict.arrived(1)
    predict.runs[0].fail(error)
    assert await asyncio.gather(*asked, return_exceptions=True) == [error, error]
    assert len(predict.runs) == 1


async def test_a_caller_that_left_is_not_run_again_after_a_failure() -> None:
    """Nobody waits for its answer."""
    predict = HeldPredict()
    batcher = Batcher("m", predict, policy())
    leaver, stayer = ask(batcher, 1), ask(batcher, 2)
    await predict.arrived(1)
    leaver.cancel()
    await asyncio.wait([leaver])
    predict.runs[0].fail(ValueError("no"))
    await predict.arrived(2)
    predict.runs[1].finish()
    assert ys(await stayer) == [4]
    assert predict.xs == [[1, 2], [2]]


async def test_one_failing_piece_fails_its_request_and_frees_the_rest() -> None:
    """A request of several runs has one answer, or one error as soon as it is known."""
    predict = HeldPredict()
    batcher = Batcher("m", predict, policy(max_rows=2, runs=2))
    large = ask(batcher, 1, 2, 3, 4, 5, 6, 7, 8)
    await predict.arrived(2)
    predict.runs[1].fail(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await large
    assert batcher.queued_rows <= 2
    predict.runs[0].finish()
    other = ask(batcher, 9)
    await turns()
    for run in predict.runs[2:]:
        run.finish()
    assert ys(await other) == [18]
    assert batcher.queued_rows == 0
    await batcher.close()


async def test_close_refuses_fails_the_line_and_waits_for_the_run() -> None:
    """The model is freed after this returns: nothing may still use it."""
    predict = HeldPredict()
    batcher = Batcher("m", predict, policy())
    running = ask(batcher, 1)
    await predict.arrived(1)
    waiting = ask(batcher, 2)
    await turns()
    closing = asyncio.create_task(batcher.close())
    with pytest.raises(NotReady):
        await waiting
    with pytest.raises(NotReady):
        await batcher(rows(x=[3]), soon())
    await turns()
    assert not closing.done()
    predict.runs[0].finish()
    assert ys(await running) == [2]
    await closing
    assert batcher.queued_rows == 0
    assert len(predict.runs) == 1


def test_close_while_a_window_is_open() -> None:
    """The timer must not fire into a closed batcher."""

    async def main() -> None:
        batcher = Batcher("m", _doubling, policy(wait_s=5.0), clock=virtual_time.clock)
        waiting = ask(batcher, 1)
        await turns()
        await batcher.close()
        with pytest.raises(NotReady):
            await waiting
        await asyncio.sleep(10)

    virtual_time.run(main())


async def test_the_runner_gets_no_callers_deadline_and_the_id_of_a_request_alone() -> None:
    """A batch outlives the most impatient of its callers; a log line names the request where there is one."""
    predict = HeldPredict()
    batcher = Batcher("m", predict, policy())
    first = ask(batcher, 1, context=Context(soon().deadline, "abc"))
    await predict.arrived(1)
    both = [ask(batcher, 2), ask(batcher, 3)]
    predict.runs[0].finish()
    await predict.arrived(2)
    predict.runs[1].finish()
    await asyncio.gather(first, *both)
    assert [run.context.request_id for run in predict.runs] == ["abc", ""]
    assert all(run.context.deadline == float("inf") for run in predict.runs)


def test_the_time_in_line_is_observed() -> None:
    """mlserve_queue_seconds is what an operator sees of waiting."""

    async def main() -> None:
        waited: list[float] = []
        predict = HeldPredict()
        batcher = Batcher("m", predict, policy(), observe_queue=waited.append, clock=virtual_time.clock)
        asked = [ask(batcher, 1)]
        await predict.arrived(1)
        asked.append(ask(batcher, 2))
        await asyncio.sleep(3)
        predict.runs[0].finish()
        await predict.arrived(2)
        predict.runs[1].finish()
        await asyncio.gather(*asked)
        assert waited == pytest.approx([0.0, 3.0])

    virtual_time.run(main())


async def test_errors_that_nobody_waits_for_are_not_reported_as_forgotten() -> None:
    """ "Future exception was never retrieved" in the log would look like a bug."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    predict = HeldPredict()
    batcher = Batcher("m", predict, policy(max_rows=1))
    leavers = [ask(batcher, x, x + 1) for x in range(3)]
    await predict.arrived(1)
    for leaver in leavers:
        leaver.cancel()
    predict.runs[0].fail(ValueError("no"))
    await asyncio.wait(leavers)
    await batcher.close()
    del leavers
    gc.collect()
    await turns()
    assert complaints == []


async def _doubling(asked: Rows, context: Context) -> Rows:
    return double(asked)


async def test_the_state_is_that_of_this_moment() -> None:
    """``meta/stats`` tells it: runs, batches in line (two kinds share none), whether there is room, and the window."""
    predict = HeldPredict()
    batcher = Batcher("m", predict, policy(max_rows=2, queued=5, increment_s=0.001, increment_max=4))
    assert batcher.state() == BatchState(0, 0, full=False, window_s=0)
    asked = [ask(batcher, 1)]
    await predict.arrived(1)
    assert batcher.state() == BatchState(1, 0, full=False, window_s=0.001)
    asked.append(ask(batcher, 2, 3, 4))
    doubles = Rows({"x": np.asarray([5.0, 6.0])}, 2)
    other_kind = asked_of(batcher, doubles)
    await turns()
    assert batcher.state() == BatchState(1, 3, full=True, window_s=0.001)
    for count in range(1, 5):
        await predict.arrived(count)
        predict.runs[-1].finish()
    await asyncio.gather(*asked, other_kind)
    await turns()
    assert batcher.state() == BatchState(0, 0, full=False, window_s=0)


async def test_nothing_of_a_request_waits_for_the_collector() -> None:
    """Rows and answers of batches are large: in a cycle they would stay until many more of them have come."""
    batcher = Batcher("m", _doubling, policy(max_rows=4, queued=1000))
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for count in (1, 4, 9, 40):
            await asyncio.gather(*[ask(batcher, *range(count)) for _ in range(3)])
        gc.collect()
        ours = [one for one in gc.garbage if type(one).__module__.startswith("mlserve.")]
        assert ours == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    await batcher.close()
