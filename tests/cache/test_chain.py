"""What this generation has answered is answered from memory; all else is computed once, and only what is missing."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest

from mlserve.errors import DeadlineExceeded, InferenceFailed, NotCached, NotReady, Overloaded
from mlserve.promise import Promise
from mlserve.stores.memory import MemoryStore
from mlserve.types import CacheUse, Context, Rows
from tests.support import virtual_time
from tests.support.chained import GENERATION, Chained
from tests.support.held_predict import HeldPredict, double, turns

NO_CACHE, NO_STORE, ONLY = CacheUse.NO_CACHE, CacheUse.NO_STORE, CacheUse.ONLY_IF_CACHED


class Counted:
    """Doubles, and remembers what it was asked."""

    def __init__(self) -> None:
        self.runs: list[list[float]] = []

    async def __call__(self, asked: Rows, context: Context) -> Rows:
        self.runs.append(asked.columns["x"].tolist())
        await asyncio.sleep(0)
        return double(asked)


async def test_a_row_is_computed_once() -> None:
    """The promise of the house."""
    predict = Counted()
    cached = Chained(predict)
    assert await cached.ask(2) == ([4], "mlserve; fwd=miss; stored")
    answer, status = await cached.ask(2)
    assert answer == [4]
    assert status.startswith("memory; hit; ttl=8")
    assert predict.runs == [[2]]
    assert cached.lookups == Counter(miss=1, hit=1)


async def test_only_missing_rows_go_on_and_come_back_in_place() -> None:
    """A batch with ninety known rows costs ten."""
    predict = Counted()
    cached = Chained(predict)
    await cached.eval(1, 3, 5)
    assert await cached.ask(1, 2, 3, 4, 5) == ([2, 4, 6, 8, 10], 'mlserve; detail="memory=3 miss=2"')
    assert await cached.ask(5, 4, 3, 5) == ([10, 8, 6, 10], 'mlserve; detail="memory=4"')
    assert predict.runs == [[1, 3, 5], [2, 4]]
    assert cached.lookups == Counter(miss=5, hit=7)


async def test_equal_rows_of_one_request_are_computed_once() -> None:
    """Each missing key goes on once."""
    predict = Counted()
    assert await Chained(predict).eval(7, 8, 7, 7, 8) == [14, 16, 14, 14, 16]
    assert predict.runs == [[7, 8]]


async def test_a_thousand_callers_of_a_cold_row_cost_one_run() -> None:
    """Single flight: the first request after a reload must not be a thousand runs."""
    predict = HeldPredict()
    cached = Chained(predict)
    asked = [asyncio.create_task(cached.ask(3)) for _ in range(1000)]
    await predict.arrived(1)
    await turns()
    predict.runs[0].finish()
    answers = await asyncio.gather(*asked)
    assert Counter((y, status) for (y,), status in answers) == Counter(
        {(6.0, "mlserve; fwd=miss; stored"): 1, (6.0, "mlserve; fwd=miss; collapsed"): 999}
    )
    assert predict.xs == [[3]]
    assert cached.joined == 999


async def test_a_batch_joins_for_what_others_compute_and_computes_the_rest() -> None:
    """Some rows known, some in flight, some new, in any order."""
    predict = HeldPredict()
    cached = Chained(predict)
    warm = cached.start(1)
    await predict.arrived(1)
    predict.runs[0].finish()
    await warm
    others = cached.start(2, 3)
    await predict.arrived(2)
    mixed = cached.start(4, 3, 1, 2, 4)
    await predict.arrived(3)
    assert predict.xs == [[1], [2, 3], [4]]
    predict.runs[2].finish()
    await turns()
    assert not mixed.done()
    predict.runs[1].finish()
    assert await mixed == [8, 6, 2, 4, 8]
    assert await others == [4, 6]
    assert cached.joined == 2


async def test_a_caller_that_leaves_harms_nobody() -> None:
    """The flight owns its task; the one who started it is a caller like the rest."""
    predict = HeldPredict()
    cached = Chained(predict)
    first, second = cached.start(1), cached.start(1)
    await predict.arrived(1)
    first.cancel()
    await asyncio.wait([first])
    assert not predict.runs[0].answer.cancelled()
    predict.runs[0].finish()
    assert await second == [2]
    assert (await cached.ask(1))[1].startswith("memory; hit")


async def test_rows_in_line_are_taken_back_when_the_last_caller_leaves() -> None:
    """Nobody waits for them, and they keep others waiting; who comes next starts anew."""
    predict = HeldPredict()
    cached = Chained(predict)
    asked = [cached.start(1), cached.start(1)]
    await predict.arrived(1)
    for task in asked:
        task.cancel()
    await asyncio.wait(asked)
    again = cached.start(1)
    await predict.arrived(2)
    assert predict.runs[0].answer.cancelled()
    predict.runs[1].finish()
    assert await again == [2]


async def test_a_caller_may_join_in_the_step_in_which_the_last_one_left() -> None:
    """It would wait for a run that was just taken back."""
    predict = HeldPredict()
    cached = Chained(predict)
    first = cached.start(1)
    await predict.arrived(1)
    first.cancel()
    second = cached.start(1)
    await predict.arrived(2)
    predict.runs[1].finish()
    assert await second == [2]
    assert first.cancelled()


async def test_rows_that_have_begun_are_finished_and_stored() -> None:
    """Their cost is paid: the caller that tries again should get the answer."""
    predict = HeldPredict(begins=True)
    cached = Chained(predict)
    only = cached.start(1)
    await predict.arrived(1)
    only.cancel()
    await asyncio.wait([only])
    await turns()
    predict.runs[0].finish()
    await turns()
    assert (await cached.ask(1))[1].startswith("memory; hit")
    assert len(predict.runs) == 1


def test_a_run_longer_than_its_callers_deadline_is_stored() -> None:
    """Else a slow row could never be answered, however often it is asked for."""

    async def main() -> None:
        predict = HeldPredict(begins=True)
        cached = Chained(predict, clock=virtual_time.clock)
        with pytest.raises(DeadlineExceeded):
            await cached.eval(1, seconds=5)
        await asyncio.sleep(3)
        late = cached.start(1, seconds=5)
        await turns()
        predict.runs[0].finish()
        assert await late == [2]
        assert len(predict.runs) == 1

    virtual_time.run(main())


def test_a_patient_joiner_outlasts_the_one_who_began() -> None:
    """A flight's deadline is that of the most patient."""

    async def main() -> None:
        predict = HeldPredict()
        cached = Chained(predict, clock=virtual_time.clock)
        hasty, patient = cached.start(1, seconds=1), cached.start(1, seconds=500)
        with pytest.raises(DeadlineExceeded):
            await hasty
        await asyncio.sleep(400)
        predict.runs[0].finish()
        assert await patient == [2]

    virtual_time.run(main())


def test_a_flight_that_ends_before_our_deadline_is_tried_again() -> None:
    """Who joins long after the start is not bound by the others' patience."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        runs: list[float] = []

        async def predict(asked: Rows, context: Context) -> Rows:
            runs.append(context.deadline - loop.time())
            context.begun = True
            try:
                async with asyncio.timeout_at(context.deadline):
                    await asyncio.sleep(100)
            except TimeoutError:
                raise DeadlineExceeded("late") from None
            return double(asked)

        cached = Chained(predict, clock=virtual_time.clock)
        with pytest.raises(DeadlineExceeded):
            await cached.eval(1, seconds=5)
        patient = cached.start(1, seconds=300)
        assert await patient == [2]
        assert runs == [65, 300]

    virtual_time.run(main())


async def test_errors_reach_every_caller_and_are_never_stored() -> None:
    """One bad moment must not become fifteen minutes of errors."""
    predict = HeldPredict()
    cached = Chained(predict)
    asked = [cached.start(1) for _ in range(3)]
    await predict.arrived(1)
    await turns()
    error = InferenceFailed("no", incident="x")
    predict.runs[0].fail(error)
    assert await asyncio.gather(*asked, return_exceptions=True) == [error] * 3
    again = cached.start(1)
    await predict.arrived(2)
    predict.runs[1].finish()
    assert await again == [2]
    assert len(cached.memory) == 1


@pytest.mark.parametrize("error", [InferenceFailed("13", incident="x"), Overloaded("too many rows")])
async def test_a_run_that_fails_for_its_other_rows_fails_only_its_caller(error: Exception) -> None:
    """We joined it for one row: whatever was wrong with the rest is not our failure."""
    predict = HeldPredict()
    cached = Chained(predict)
    batch = cached.start(13, 1)
    await predict.arrived(1)
    single = cached.start(1)
    await turns()
    predict.runs[0].fail(error)
    await predict.arrived(2)
    predict.runs[1].finish()
    assert await single == [2]
    assert predict.xs == [[13, 1], [1]]
    with pytest.raises(type(error)):
        await batch


async def test_a_run_that_fails_for_its_other_rows_is_followed_by_one_not_by_a_thousand() -> None:
    """All who joined it try again: together, or a bad row in one batch would be a stampede for its neighbours."""
    predict = HeldPredict()
    cached = Chained(predict)
    batch = cached.start(13, 1)
    await predict.arrived(1)
    singles = [cached.start(1) for _ in range(1000)]
    await turns()
    predict.runs[0].fail(InferenceFailed("13", incident="x"))
    await predict.arrived(2)
    await turns()
    predict.runs[1].finish()
    assert await asyncio.gather(*singles) == [[2]] * 1000
    assert predict.xs == [[13, 1], [1]]
    with pytest.raises(InferenceFailed):
        await batch


async def test_one_failed_flight_of_several_frees_the_others() -> None:
    """A request that has failed no longer waits for its other rows, nor keeps them in line."""
    predict = HeldPredict()
    cached = Chained(predict)
    first = cached.start(1)
    await predict.arrived(1)
    both = cached.start(1, 2)
    await predict.arrived(2)
    predict.runs[0].fail(ValueError("no"))
    for task in (first, both):
        with pytest.raises(ValueError, match="no"):
            await task
    await turns()
    assert predict.runs[1].answer.cancelled()


async def test_no_cache_runs_anew_lets_others_join_and_replaces() -> None:
    """A caller that doubts an answer gets a fresh one, and so does everybody after."""
    predict = HeldPredict()
    memory = MemoryStore(8 << 20)
    cached = Chained(predict, memory=memory, ttl_s=50)
    warm = cached.start(1)
    await predict.arrived(1)
    predict.runs[0].finish()
    await warm
    memory.put(cached.key(1), b"old", 50)
    fresh = asyncio.create_task(cached.ask(1, cache=NO_CACHE))
    await predict.arrived(2)
    predict.runs[1].finish()
    assert await fresh == ([2], "mlserve; fwd=request; stored")
    assert memory.get(cached.key(1)) != b"old"


async def test_no_cache_does_not_join_and_is_joined() -> None:
    """A run that began before the question may be the very answer that is doubted; ours takes its place."""
    predict = HeldPredict()
    cached = Chained(predict)
    before = cached.start(1)
    await predict.arrived(1)
    doubting = cached.start(1, cache=NO_CACHE)
    await predict.arrived(2)
    after = cached.start(1)
    await turns()
    assert len(predict.runs) == 2
    predict.runs[1].finish()
    assert await asyncio.gather(doubting, after) == [[2], [2]]
    stored = cached.memory.peek(cached.key(1))
    predict.runs[0].finish()
    assert await before == [2]
    assert cached.memory.peek(cached.key(1))[1] <= stored[1]  # type: ignore[index]  # both are there


async def test_no_store_neither_reads_joins_nor_stores() -> None:
    """The caller's row leaves no trace."""
    predict = HeldPredict()
    cached = Chained(predict)
    normal = cached.start(1)
    await predict.arrived(1)
    private = asyncio.create_task(cached.ask(1, cache=NO_STORE))
    await predict.arrived(2)
    predict.runs[1].finish()
    assert await private == ([2], "mlserve; fwd=bypass")
    assert len(cached.memory) == 0
    predict.runs[0].finish()
    await normal
    known = asyncio.create_task(cached.ask(1, cache=NO_STORE))
    await predict.arrived(3)
    predict.runs[2].finish()
    assert (await known)[1] == "mlserve; fwd=bypass"
    assert cached.lookups["skipped"] == 2


async def test_only_if_cached_computes_nothing() -> None:
    """Neither for one row nor for a batch with one row missing; nor does it wait for a run in progress."""
    predict = HeldPredict()
    cached = Chained(predict)
    normal = cached.start(1)
    await predict.arrived(1)
    with pytest.raises(NotCached, match="1 of 1 rows"):
        await cached.eval(1, cache=ONLY)
    predict.runs[0].finish()
    await normal
    assert await cached.eval(1, cache=ONLY) == [2]
    with pytest.raises(NotCached, match="1 of 2 rows"):
        await cached.eval(1, 2, cache=ONLY)
    assert len(predict.runs) == 1


async def test_generations_never_meet() -> None:
    """What an older version answered is not this version's answer."""
    memory = MemoryStore(8 << 20)
    old = Chained(Counted(), memory=memory)
    await old.eval(1)
    predict = Counted()
    new = Chained(predict, memory=memory, generation="f" + GENERATION[1:])
    await new.eval(1)
    assert predict.runs == [[1]]
    assert len(memory) == 2


@pytest.mark.parametrize("stored", [b"", b"rubbish", b"\x01\xff\xff", b"\x02" + bytes(40)])
async def test_entries_that_cannot_be_read_are_misses_and_counted(stored: bytes) -> None:
    """A poisoned entry costs its own row a run, and is replaced; its neighbours stay hits."""
    predict = Counted()
    cached = Chained(predict)
    await cached.eval(1, 2, 3)
    cached.memory.put(cached.key(2), stored, 900)
    assert await cached.eval(1, 2, 3) == [2, 4, 6]
    assert predict.runs == [[1, 2, 3], [2]]
    assert cached.lookups == Counter(miss=3, hit=2, error=1)
    cached.memory.put(cached.key(1), stored, 900)
    assert await cached.eval(1) == [2]
    assert (await cached.ask(1, 2, 3))[1] == 'mlserve; detail="memory=3"'


def test_entries_expire_a_little_early_and_never_late() -> None:
    """Lives are shortened by 0 to 10 %, each by its own share."""

    async def main() -> None:
        memory = MemoryStore(8 << 20, clock=virtual_time.clock)
        predict = Counted()
        cached = Chained(predict, memory=memory, ttl_s=1000, random=Random(1), clock=virtual_time.clock)
        xs = list(range(300))
        await cached.eval(*xs)
        lives = [entry[1] for x in xs if (entry := memory.peek(cached.key(x)))]
        assert len(lives) == 300
        assert 900 <= min(lives) < 910
        assert 990 < max(lives) <= 1000
        assert (await cached.ask(0))[1] == f"memory; hit; ttl={int(lives[0])}"
        await asyncio.sleep(1000)
        await cached.eval(*xs)
        assert predict.runs == [xs, xs]
        assert cached.lookups == Counter(miss=300, hit=1, expired=300)

    virtual_time.run(main())


async def test_answers_that_cannot_be_stored_turn_the_cache_off_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The request is answered all the same, and the log does not fill."""
    runs = 0

    async def predict(asked: Rows, context: Context) -> Rows:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0)
        column = np.empty(asked.count, object)
        column[:] = [object()] * asked.count
        return Rows({"y": asked.columns["x"] * 2, "z": column}, asked.count)

    cached = Chained(predict)
    with caplog.at_level(logging.WARNING):
        assert await asyncio.gather(cached.eval(1), cached.eval(1), cached.eval(2, 3)) == [[2], [2], [4, 6]]
        assert runs == 2
        assert await cached.ask(1) == ([2], "mlserve; fwd=bypass")
    assert len(cached.memory) == 0
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "cannot be cached" in caplog.text


async def test_rows_whose_answers_differ_in_shape_run_together_or_not_at_all() -> None:
    """A model that pads to the longest row of a run: rows of two runs do not fit into one answer."""

    async def predict(asked: Rows, context: Context) -> Rows:
        return Rows(
            {"y": np.repeat(asked.columns["x"] * 2, 1), "pad": np.zeros((asked.count, asked.count))}, asked.count
        )

    cached = Chained(predict)
    await cached.eval(1)
    await cached.eval(2, 3)
    assert await cached.eval(2, 3) == [4, 6]
    assert await cached.ask(1, 2) == ([2, 4], "mlserve; fwd=bypass")
    assert await cached.ask(2, 4) == ([4, 8], "mlserve; fwd=bypass")


async def test_a_request_without_rows_asks_nobody() -> None:
    """There is nothing to look up."""
    cached = Chained(Counted())
    assert await cached.eval() == []
    assert cached.lookups == Counter()


async def test_an_answer_that_cannot_be_kept_is_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    """A fault in storing must not become the caller's."""

    class Broken(MemoryStore):
        def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
            raise KeyError("odd")

    cached = Chained(Counted(), memory=Broken(1 << 20))
    assert await cached.eval(1) == [2]
    assert "was not stored" in caplog.text


async def test_an_answer_at_once_takes_no_step_and_can_be_joined_until_it_is_stored() -> None:
    """A quick model would wait for the loop; or the same row would be computed again before the step ends."""
    runs: list[list[float]] = []

    def predict(asked: Rows, context: Context) -> Promise:
        runs.append(asked.columns["x"].tolist())
        return Promise.of(double(asked))

    cached = Chained(predict)
    steps: list[int] = []
    asyncio.get_running_loop().call_soon(steps.append, 1)
    assert await cached.ask(1) == ([2], "mlserve; fwd=miss; stored")
    assert await cached.ask(1) == ([2], "mlserve; fwd=miss; collapsed")
    assert await cached.eval(2, 1, 3) == [4, 2, 6]
    assert steps == []
    await turns(1)
    assert (await cached.ask(1))[1].startswith("memory; hit")
    assert runs == [[1], [2, 3]]
    await cached.eval(4)
    await cached.chain.close()
    assert cached.memory.get(cached.key(4)) is not None


async def test_an_error_at_once_is_told_at_once_and_not_joined() -> None:
    """Errors are never kept, not even until the step ends."""
    errors = [InferenceFailed("no", incident="x"), None]

    def predict(asked: Rows, context: Context) -> Promise:
        if (error := errors.pop(0)) is not None:
            raise error
        return Promise.of(double(asked))

    cached = Chained(predict)
    with pytest.raises(InferenceFailed):
        await cached.eval(1)
    assert await cached.eval(1) == [2]


async def test_close_waits_for_flights_and_refuses_what_comes_after() -> None:
    """The model is freed after this returns."""
    predict = HeldPredict(begins=True)
    cached = Chained(predict)
    orphan, caller = cached.start(1), cached.start(2)
    await predict.arrived(2)
    replaced = cached.start(2, cache=NO_CACHE)
    await predict.arrived(3)
    orphan.cancel()
    await asyncio.wait([orphan])
    closing = asyncio.create_task(cached.chain.close())
    await turns()
    for cache in (CacheUse.NORMAL, NO_CACHE, NO_STORE, ONLY):
        with pytest.raises(NotReady):
            await cached.eval(3, cache=cache)
    for run in predict.runs:
        await turns()
        assert not closing.done()
        run.finish()
    assert await asyncio.gather(caller, replaced) == [[4], [4]]
    await closing
    assert cached.memory.get(cached.key(1)) is not None


async def test_a_deadline_already_past_is_an_error_unless_the_answer_is_there() -> None:
    """Nothing begins for a caller that has gone; an answer at hand costs nothing."""
    predict = HeldPredict()
    cached = Chained(predict)
    with pytest.raises(DeadlineExceeded):
        await cached.eval(1, seconds=-1)
    warm = cached.start(2)
    await turns()
    for run in predict.runs:
        if not run.answer.done():
            run.finish()
    await warm
    assert await cached.eval(2, seconds=-1) == [4]


async def test_what_flights_leave_behind_is_nothing() -> None:
    """Errors that nobody waits for are not reported as forgotten, and no key stays taken."""
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    predict = HeldPredict(begins=True)
    cached = Chained(predict)
    asked = [cached.start(x) for x in range(3)]
    await predict.arrived(3)
    for task in asked:
        task.cancel()
    await asyncio.wait(asked)
    for run in predict.runs:
        run.fail(ValueError("no"))
    await turns()
    assert len(cached.chain._flights) == 0
    await cached.chain.close()
    assert complaints == []
