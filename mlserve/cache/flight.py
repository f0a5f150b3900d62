"""One computation per key at a time: who asks for a row that is being computed waits for that same run.

A flight computes a group of keys in one call of the ``Predict`` behind it, and owns the promise of their answer.
Callers hold no more than an interest: one that leaves, or whose deadline passes, harms nobody. When the last has left,
rows that have not begun to run are taken back; those that have are finished and stored. Errors go to the callers and
are never stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from mlserve.cache.portions import PORTION
from mlserve.deadlines import Deadlines
from mlserve.errors import DeadlineExceeded
from mlserve.promise import Promise, promised
from mlserve.types import Context, Predict, Rows

FINISH_S: Final = 60.0
"""A flight ends this long after the latest deadline of its callers: time for rows that have begun to be finished."""


class Flight:
    """One run in progress, for ``keys`` in the order of its rows. Made, then sent off with :meth:`depart`, once.

    ``store`` gets flight and answer as soon as there is one, and calls :meth:`land` when it is stored. ``landed`` is
    called when nobody may join any more: after that, after a failure, or when the last caller has left rows that had
    not begun. It may be called twice.
    """

    __slots__ = (
        "_answer",
        "_callers",
        "_context",
        "_landed",
        "_place_of",
        "_store",
        "answered",
        "keys",
        "landed",
        "rows",
    )

    def __init__(
        self, keys: Sequence[bytes], rows: Rows, context: Context, *, store: Store, landed: Callable[[Flight], None]
    ) -> None:
        self.keys = keys
        self.rows = rows
        self.answered = False
        """Callers have what they waited for: the answer, or the error."""
        self.landed = False
        """It is stored, or failed."""
        self._context = Context(context.deadline + FINISH_S, context.request_id)
        self._store = store
        self._landed = landed
        self._callers: set[_Caller] = set()
        self._answer = _NOT_DEPARTED
        self._place_of: dict[bytes, int] | None = None

    @property
    def place_of(self) -> Mapping[bytes, int]:
        """Where each key stands."""
        if self._place_of is None:
            self._place_of = dict(zip(self.keys, range(len(self.keys)), strict=True))
        return self._place_of

    @property
    def failed(self) -> bool:
        """There will be no answer."""
        return self._answer.error is not None

    @property
    def error(self) -> BaseException | None:
        """Why it failed, if it did."""
        return self._answer.error

    def result(self) -> Rows:
        """The answer of a flight which has been answered; raises its error."""
        return self._answer.result()

    def depart(self, predict: Predict) -> None:
        """May have been answered when this returns."""
        self._answer = promised(lambda: predict(self.rows, self._context), name="flight")
        self._answer.then(self._arrived)

    def enter(self, caller: _Caller) -> None:
        """``caller`` waits too, until its deadline at the latest."""
        self._callers.add(caller)
        self._context.deadline = max(self._context.deadline, caller.deadline + FINISH_S)

    def leave(self, caller: _Caller) -> None:
        """``caller`` has its answer, or no longer wants it."""
        self._callers.discard(caller)
        if not self._callers and not self._answer.kept and not self._context.begun:
            self._landed(self)
            self._answer.abandon()

    def land(self) -> None:
        """Stored, or failed."""
        self.landed = True
        self._landed(self)
        self._tell()

    def _arrived(self, answer: Promise) -> None:
        if answer.error is not None:
            self.land()
            return
        self._store(self, answer.result())
        # Who asks for many rows waits until they are stored: else answers could be asked for faster than they are kept.
        if len(self.keys) <= PORTION:
            self._tell()

    def _tell(self) -> None:
        if not self.answered:
            self.answered = True
            well = not self.failed
            for caller in self._callers:
                caller.told(well=well)


Store = Callable[[Flight, Rows], None]
"""Gets a flight and its answer, as soon as there is one; raises nothing."""

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

    def stop(self) -> None:
        """Leaves no timer behind."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None  # it holds the caller


async def landing(flight: Flight, deadline: float, deadlines: Deadlines) -> None:
    """Waits for one that is not answered yet, as :func:`arrival` does, until it is answered or has failed."""
    caller = _Caller(1, deadline)
    flight.enter(caller)
    deadlines.watch(caller)
    try:
        await caller.woken
    finally:
        caller.stop()
        flight.leave(caller)
    if not flight.answered or flight.failed:
        _check((flight,))


async def arrival(flights: Collection[Flight], deadline: float, deadlines: Deadlines) -> list[Flight]:
    """Waits for all of ``flights``, or until one fails; answers those that failed.

    Raises ``DeadlineExceeded``, and ``CancelledError`` where one was cancelled from outside, as at the end of a loop.
    """
    flying = [flight for flight in flights if not flight.answered]
    if flying:
        caller = _Caller(len(flying), deadline)
        for flight in flying:
            flight.enter(caller)
        try:
            if not any(flight.failed for flight in flights):
                deadlines.watch(caller)
                await caller.woken
        finally:
            caller.stop()
            for flight in flying:
                flight.leave(caller)
    return _check(flights)


def _check(flights: Collection[Flight]) -> list[Flight]:
    """Those that failed, once the wait is over."""
    failed = [flight for flight in flights if flight.failed]
    if not failed and not all(flight.answered for flight in flights):
        raise DeadlineExceeded("no answer before the deadline")
    for flight in failed:
        if isinstance(flight.error, asyncio.CancelledError):
            raise flight.error
    return failed
