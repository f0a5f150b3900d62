"""How many evaluations the whole process does at once: mly's ``MaxEvaluatorConcurrency`` and ``MaxEvaluatorWait``."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from time import monotonic
from typing import Self

from mlserve.errors import DeadlineExceeded, Overloaded


class Evaluators:
    """Slots that all models share. Whoever predicts for a request holds one meanwhile::

        with await evaluators.slot(context.deadline):
            answer = await deployment.predict(call.rows, context)

    Who finds none free waits in line, first come first served, ``wait_s`` at most. Used on one event loop.
    """

    def __init__(self, slots: int, wait_s: float) -> None:
        self._slots = slots
        self._wait_s = wait_s
        self._free = slots
        self._line: OrderedDict[asyncio.Future[None], None] = OrderedDict()

    @property
    def in_progress(self) -> int:
        """Evaluations that hold a slot."""
        return self._slots - self._free

    @property
    def waiting(self) -> int:
        """Requests in line for a slot."""
        return len(self._line)

    async def slot(self, deadline: float) -> Self:
        """Take a slot; enter what comes back at once, for leaving it gives the slot back.

        ``deadline`` counts as :func:`time.monotonic` does. Raises :class:`~mlserve.errors.Overloaded` if no slot came
        free in time, and :class:`~mlserve.errors.DeadlineExceeded` if the deadline is earlier than that.
        """
        if not self.take():
            await self._stand_in_line(deadline - monotonic())
        return self

    def take(self) -> bool:
        """Take a slot if one is free at this moment; who got one calls :meth:`give_back`."""
        if self._free:
            self._free -= 1
            return True
        return False

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        """A slot is free again, or the next one's in line."""
        while self._line:
            turn, _ = self._line.popitem(last=False)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    async def _stand_in_line(self, left_s: float) -> None:
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._line[turn] = None
        timer = loop.call_later(min(self._wait_s, left_s), self._expire, turn, left_s)
        try:
            await turn
        except asyncio.CancelledError:
            self._line.pop(turn, None)
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give_back()  # it was handed over in the very step in which the caller left
            raise
        finally:
            timer.cancel()

    def _expire(self, turn: asyncio.Future[None], left_s: float) -> None:
        if turn.done():
            return
        del self._line[turn]
        if left_s <= self._wait_s:
            turn.set_exception(DeadlineExceeded("the deadline passed while every evaluator was busy"))
        else:
            turn.set_exception(
                Overloaded(f"as many evaluations are in progress as MaxEvaluatorConcurrency allows: {self._slots}")
            )
