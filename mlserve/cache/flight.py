"""One computation per key at a time: who asks for a row that is being computed waits for that same run.

A flight computes a group of keys in one call of the ``Predict`` behind it, and owns the task that does. Callers hold
no more than an interest: one that leaves, or whose deadline passes, harms nobody. When the last has left, rows that
have not begun to run are taken back; those that have are finished and stored. Errors go to the callers and are never
stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

from mlserve.errors import DeadlineExceeded
from mlserve.types import Context, Predict, Rows

logger = logging.getLogger(__name__)

FINISH_S: Final = 60.0
"""A flight ends this long after the latest deadline of its callers: time for rows that have begun to be finished."""


class Flight:
    """One run in progress, for ``keys`` in the order of its rows.

    ``store`` gets flight and answer as soon as there is one; ``landed`` is called when nobody may join any more:
    the run has ended, however, or the last caller has left rows that had not begun. It may be called twice.
    """

    def __init__(
        self,
        keys: Sequence[bytes],
        rows: Rows,
        context: Context,
        predict: Predict,
        *,
        store: Store,
        landed: Callable[[Flight], None],
    ) -> None:
        self.place_of = {key: place for place, key in enumerate(keys)}
        self.rows = rows
        self._context = Context(context.deadline + FINISH_S, context.request_id)
        self._landed = landed
        self._callers: set[_Caller] = set()
        self.task = asyncio.create_task(self._compute(rows, predict, store), name="flight")
        self.task.add_done_callback(self._ended)

    def enter(self, caller: _Caller, deadline: float) -> None:
        """``caller`` waits too, until ``deadline`` at the latest."""
        self._callers.add(caller)
        self._context.deadline = max(self._context.deadline, deadline + FINISH_S)

    def leave(self, caller: _Caller) -> None:
        """``caller`` has its answer, or no longer wants it."""
        self._callers.discard(caller)
        if not self._callers and not self._context.begun and self.task.cancel():
            self._landed(self)

    async def _compute(self, rows: Rows, predict: Predict, store: Store) -> Rows:
        answer = await predict(rows, self._context)
        try:
            await store(self, answer)
        except Exception:  # an answer that cannot be kept is an answer
            logger.exception("an answer was not stored")
        return answer

    def _ended(self, task: asyncio.Task[Rows]) -> None:
        self._landed(self)
        # The error is retrieved here, for a flight may outlive its callers.
        well = not task.cancelled() and task.exception() is None
        for caller in self._callers:
            caller.told(well=well)


Store = Callable[[Flight, Rows], Awaitable[None]]
"""Gets a flight and its answer."""


class _Caller:
    """Waits for ``count`` flights at once. Cheaper than ``asyncio.wait``, which every miss would pay."""

    def __init__(self, count: int) -> None:
        self.woken = asyncio.get_running_loop().create_future()
        self._count = count

    def told(self, *, well: bool) -> None:
        """One flight has landed."""
        self._count -= 1
        if not self._count or not well:
            self.wake()

    def wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)


async def arrival(flights: Collection[Flight], deadline: float) -> list[Flight]:
    """Waits for all of ``flights``, or until one fails; answers those that failed. Raises ``DeadlineExceeded``."""
    caller = _Caller(len(flights))
    timer = asyncio.get_running_loop().call_at(deadline, caller.wake)
    for flight in flights:
        flight.enter(caller, deadline)
    try:
        await caller.woken
        failed = [flight for flight in flights if flight.task.done() and flight.task.exception() is not None]
        if not failed and not all(flight.task.done() for flight in flights):
            raise DeadlineExceeded("no answer before the deadline")
        return failed
    finally:
        timer.cancel()
        for flight in flights:
            flight.leave(caller)
