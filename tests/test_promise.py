"""An answer would be lost, told twice or late, or nobody would wake for it, if these failed."""

from __future__ import annotations

import asyncio

import pytest

from mlserve.promise import Promise, promised
from mlserve.types import Rows
from tests.support.deployments import rows
from tests.support.held_predict import turns

ANSWER = rows(x=[1])


class TestBeingKept:
    def test_a_listener_hears_in_the_same_step(self) -> None:
        """What waits for the loop's next step is what a promise saves."""
        heard: list[Promise] = []
        promise = Promise()
        promise.then(heard.append)
        assert heard == []
        promise.settle(ANSWER)
        assert heard == [promise]
        assert promise.result() is ANSWER

    def test_a_listener_that_comes_late_hears_at_once(self) -> None:
        """It would wait for ever."""
        heard: list[Promise] = []
        promise = Promise.of(ANSWER)
        promise.then(heard.append)
        assert heard == [promise]

    def test_only_the_first_answer_or_error_counts(self) -> None:
        """A deadline and an answer may come in one step."""
        heard: list[Promise] = []
        promise = Promise()
        promise.then(heard.append)
        promise.fail(ValueError("late"))
        promise.settle(ANSWER)
        promise.fail(KeyError())
        assert len(heard) == 1
        with pytest.raises(ValueError, match="late"):
            promise.result()


class TestBeingAwaited:
    async def test_a_kept_one_takes_no_step(self) -> None:
        """A miss that has its answer already would wait for its turn among all others."""
        steps: list[int] = []
        asyncio.get_running_loop().call_soon(steps.append, 1)
        assert await Promise.of(ANSWER) is ANSWER
        assert steps == []

    async def test_the_caller_is_woken(self) -> None:
        """With the answer, and with the error."""
        for error in (None, ValueError("no")):
            promise = Promise()
            caller = asyncio.ensure_future(promise)
            await turns()
            assert not caller.done()
            if error is None:
                promise.settle(ANSWER)
                assert await caller is ANSWER
            else:
                promise.fail(error)
                with pytest.raises(ValueError, match="no"):
                    await caller

    async def test_a_caller_that_leaves_abandons_it_and_may_be_answered_in_the_same_step(self) -> None:
        """Rows in line would be run for nobody; an answer that comes just then must not break the one who gives it."""

        class Watched(Promise):
            abandoned = 0

            def abandon(self) -> None:
                self.abandoned += 1

        promise = Watched()
        caller = asyncio.ensure_future(promise)
        await turns()
        caller.cancel()
        promise.settle(ANSWER)
        await asyncio.wait([caller])
        assert caller.cancelled()
        assert promise.abandoned == 1


class TestPromised:
    async def test_a_promise_stays_what_it_is(self) -> None:
        """A task around it would cost what it saves."""
        promise = Promise()
        assert promised(lambda: promise, name="run") is promise

    async def test_an_error_at_the_call_is_that_of_the_answer(self) -> None:
        """Whoever started the run holds many callers, who want to hear of it in the same way."""

        def refuse() -> Promise:
            raise ValueError("no")

        promise = promised(refuse, name="run")
        assert promise.kept
        assert isinstance(promise.error, ValueError)

    async def test_a_coroutine_is_driven_to_its_end(self) -> None:
        """By a task of that name, whether or not anybody waits for it."""

        async def named() -> Rows:
            await asyncio.sleep(0)
            task = asyncio.current_task()
            assert task is not None
            assert task.get_name() == "run"
            return ANSWER

        promise = promised(named, name="run")
        assert not promise.kept
        assert await promise is ANSWER

    async def test_a_coroutine_that_fails_breaks_its_promise(self) -> None:
        """And is not reported as forgotten if nobody listens."""
        complaints: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

        async def failing() -> Rows:
            raise ValueError("no")

        promise = promised(failing, name="run")
        await turns()
        assert isinstance(promise.error, ValueError)
        del promise
        await turns()
        assert complaints == []

    async def test_an_abandoned_coroutine_is_cancelled_and_says_so(self) -> None:
        """Who owns the run waits for its end before it frees what the run uses."""
        ended: list[str] = []

        async def endless() -> Rows:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("run")
            return ANSWER

        promise = promised(endless, name="run")
        heard: list[Promise] = []
        promise.then(heard.append)
        await turns()
        promise.abandon()
        assert heard == []
        await turns()
        assert (heard, ended) == ([promise], ["run"])
        with pytest.raises(asyncio.CancelledError):
            promise.result()
