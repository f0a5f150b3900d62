"""An answer that is on its way, or there already: what a ``Predict`` may give back instead of a coroutine.

A coroutine goes no further than whoever drives it: to outlive its caller it needs a task of its own, and a task begins
in the loop's next step. A promise is kept by whoever computes. It may be kept before it is given back, then nothing
waits at all; else it tells its one listener in the very step in which the answer comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final

from mlserve.types import Rows


class Promise:
    """Kept once, with rows or with an error. Await it or give it a listener with :meth:`then`: one of the two, once."""

    __slots__ = ("_listener", "_rows", "error", "kept")

    def __init__(self) -> None:
        self.kept = False
        self.error: BaseException | None = None
        self._rows = _NO_ROWS
        self._listener: Callable[[Promise], None] | None = None

    @staticmethod
    def of(rows: Rows) -> Promise:
        """One that is kept already."""
        promise = Promise()
        promise.kept = True
        promise._rows = rows
        return promise

    def settle(self, rows: Rows) -> None:
        """The answer has come; nothing happens if there is one already, or an error."""
        if not self.kept:
            self._rows = rows
            self._keep()

    def fail(self, error: BaseException) -> None:
        """There will be no answer; nothing happens if there is one already, or an error."""
        if not self.kept:
            self.error = error
            self._keep()

    def then(self, listener: Callable[[Promise], None]) -> None:
        """``listener`` is called once: now if this is kept, else in the step in which it will be. It must not raise."""
        if self.kept:
            listener(self)
        else:
            self._listener = listener

    def result(self) -> Rows:
        """The answer of a promise that is kept; raises its error."""
        if self.error is not None:
            raise self.error
        return self._rows

    def abandon(self) -> None:
        """Nobody wants the answer any more: what has not begun is taken back, where that is possible."""

    def __await__(self) -> Generator[Any, None, Rows]:
        if not self.kept:
            woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._listener = lambda _: None if woken.done() else woken.set_result(None)
            try:
                yield from woken
            except asyncio.CancelledError:
                self.abandon()
                raise
        return self.result()

    def _keep(self) -> None:
        self.kept = True
        listener, self._listener = self._listener, None  # who listens often holds the promise: no cycle stays behind
        if listener is not None:
            listener(self)


_NO_ROWS: Final = Rows({}, 0)


class TaskPromise(Promise):
    """Kept by a task of its own, which drives ``answer``. The listener's owner is the task's: it hears of its end."""

    __slots__ = ("_task",)

    def __init__(self, answer: Awaitable[Rows], *, name: str) -> None:
        super().__init__()
        self._task = asyncio.get_running_loop().create_task(_driven(answer), name=name)
        self._task.add_done_callback(self._ended)

    def abandon(self) -> None:
        self._task.cancel()

    def _ended(self, task: asyncio.Task[Rows]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            self.settle(task.result())
        else:
            self.fail(error)


async def _driven(answer: Awaitable[Rows]) -> Rows:
    return await answer


def promised(call: Callable[[], Awaitable[Rows]], *, name: str) -> Promise:
    """What ``call`` promises or raises; raises nothing. A coroutine from it is driven by a task of that ``name``."""
    try:
        answer = call()
    except Exception as error:
        failed = Promise()
        failed.fail(error)
        return failed
    return answer if isinstance(answer, Promise) else TaskPromise(answer, name=name)
