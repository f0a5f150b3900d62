"""One computation per key at a time: who asks for a row that is being computed waits for that same run.

A flight computes a group of keys in one call of the ``Predict`` behind it, and owns the promise of their answer.
Callers hold no more than an interest: one that leaves, or whose deadline passes, harms nobody. When the last has left,
rows that have not begun to run are taken back; those that have are finished and stored. Errors go to the callers and
are never stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Final

from mlserve.cache.portions import PORTION, portions
from mlserve.deadlines import Deadlines
from mlserve.errors import DeadlineExceeded
from mlserve.promise import Promise, promised
from mlserve.types import Context, Predict, Rows

logger = logging.getLogger(__name__)

FINISH_S: Final = 60.0
"""A flight ends this long after the latest deadline of its callers: time for rows that have begun to be finished."""


class Flight:
    """One run in progress, for ``keys`` in the order of its rows. Made, then sent off with :meth:`depart`, once.

    ``landed`` is called when nobody may join any more: the run has ended, however, or the last caller has left rows
    that had not begun. It may be called twice.
    """

    __slots__ = ("_answer", "_callers", "_context", "_landed", "_store", "ended", "place_of", "rows")

    def __init__(
        self, keys: Sequence[bytes], rows: Rows, context: Context, *, store: Store, landed: Callable[[Flight], None]
    ) -> None:
        self.place_of = dict(zip(keys, range(len(keys)), strict=True))
        self.rows = rows
        self.ended = False
        """Answered and stored, or failed."""
        self._context = Context(context.deadline + FINISH_S, context.request_id)
        self._store = store
        self._landed = landed
        self._callers: set[_Caller] = set()
        self._answer = _NOT_DEPARTED

    @property
    def error(self) -> BaseException | None:
        """That of a flight which has ended."""
        return self._answer.error

    def result(self) -> Rows:
        """The answer of a flight that has ended; raises its error."""
        return self._answer.result()

    def depart(self, predict: Predict) -> None:
        """May have ended when this returns."""
        self._answer = promised(lambda: predict(self.rows, self._context), name="flight")
        self._answer.then(self._answered)

    def enter(self, caller: _Caller) -> None:
        """``caller`` waits too, until its deadline at the latest."""
        self._callers.add(caller)
        self._context.deadline = max(self._context.deadline, caller.deadline + FINISH_S)

    def leave(self, caller: _Caller) -> None:
        """``caller`` has its answer, or no longer wants it."""
        self._callers.discard(caller)
        if not self._callers and not self.ended and not self._context.begun:
            self._landed(self)
            self._answer.abandon()

    def _answered(self, answer: Promise) -> None:
        if answer.error is not None:
            self._end(answer)
        elif self.rows.count <= PORTION:
            self._keep(list(self.place_of), self.rows, answer.result())
            self._end(answer)
        else:
            self._answer = promised(lambda: self._keep_all(answer.result()), name="flight")
            self._answer.then(self._end)

    async def _keep_all(self, answer: Rows) -> Rows:
        keys = list(self.place_of)
        for places in portions(range(len(keys))):
            some = slice(places[0], places[-1] + 1)
            self._keep(keys[some], self.rows.take(some), answer.take(some))
            await asyncio.sleep(0)
        return answer

    def _keep(self, keys: Sequence[bytes], rows: Rows, answer: Rows) -> None:
        try:
            self._store(self, keys, rows, answer)
        except Exception:  # an answer that cannot be kept is an answer
            logger.exception("an answer was not stored")

    def _end(self, answer: Promise) -> None:
        self.ended = True
        self._landed(self)
        for caller in self._callers:
            caller.told(well=answer.error is None)


Store = Callable[[Flight, Sequence[bytes], Rows, Rows], None]
"""Gets a flight as soon as it has its answer, with some of its keys, their rows, and the answers to those."""

_NOT_DEPARTED: Final = Promise()


class _Caller:
    """Waits for ``count`` flights at once. Cheaper than ``asyncio.wait``, which every miss would pay."""

    __slots__ = ("_count", "deadline", "timer", "woken")

    def __init__(self, count: int, deadline: float) -> None:
        self.woken = asyncio.get_running_loop().create_future()
        self.deadline = deadline
        self.timer: asyncio.TimerHandle | None = None
        self._count = count

    @property
    def waits(self) -> bool:
        return not self.woken.done()

    def told(self, *, well: bool) -> None:
        """One flight has landed."""
        self._count -= 1
        if not self._count or not well:
            self.expire()

    def expire(self) -> None:
        """The wait is over, whatever has come of it."""
        if not self.woken.done():
            self.woken.set_result(None)


async def arrival(flights: Collection[Flight], deadline: float, deadlines: Deadlines) -> list[Flight]:
    """Waits for all of ``flights``, or until one fails; answers those that failed.

    Raises ``DeadlineExceeded``, and ``CancelledError`` where one was cancelled from outside, as at the end of a loop.
    """
    flying = [flight for flight in flights if not flight.ended]
    if flying:
        await _landing(flying, deadline, deadlines, one_has_failed=bool(_failed(flights)))
    failed = _failed(flights)
    for flight in failed:
        if isinstance(flight.error, asyncio.CancelledError):
            raise flight.error
    if not failed and not all(flight.ended for flight in flying):
        raise DeadlineExceeded("no answer before the deadline")
    return failed


async def _landing(flying: Sequence[Flight], deadline: float, deadlines: Deadlines, *, one_has_failed: bool) -> None:
    caller = _Caller(len(flying), deadline)
    for flight in flying:
        flight.enter(caller)
    try:
        if not one_has_failed:
            deadlines.watch(caller)
            await caller.woken
    finally:
        if caller.timer is not None:
            caller.timer.cancel()
        for flight in flying:
            flight.leave(caller)


def _failed(flights: Collection[Flight]) -> list[Flight]:
    return [flight for flight in flights if flight.ended and flight.error is not None]
