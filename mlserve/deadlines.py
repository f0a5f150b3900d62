"""Timers for those who wait long. Most answers come in the very step of the loop that asks for them, and need none."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Protocol


class Waiter(Protocol):
    """Somebody who waits. The ``deadline`` counts as the loop's time does, and may move to later, not to earlier."""

    timer: asyncio.TimerHandle | None
    """Set by :class:`Deadlines`; the waiter cancels it when the wait is over."""

    @property
    def waits(self) -> bool: ...

    @property
    def deadline(self) -> float: ...

    def expire(self) -> None:
        """The deadline has passed, and the wait is not over."""


class Deadlines:
    """Gives each waiter that still waits when the loop's step has ended a timer of its own."""

    __slots__ = ("_new",)

    def __init__(self) -> None:
        self._new: list[Waiter] = []

    def watch(self, waiter: Waiter) -> None:
        """Called in the step in which the wait begins."""
        if not self._new:
            asyncio.get_running_loop().call_soon(self._step_ended)
        self._new.append(waiter)

    def _step_ended(self) -> None:
        new, self._new = self._new, []
        for waiter in new:
            if waiter.waits and waiter.deadline < inf:
                self._set_timer(waiter)

    def _set_timer(self, waiter: Waiter) -> None:
        deadline = waiter.deadline
        waiter.timer = asyncio.get_running_loop().call_at(deadline, self._ring, waiter, deadline)

    def _ring(self, waiter: Waiter, deadline: float) -> None:
        if waiter.deadline > deadline:
            self._set_timer(waiter)
        else:
            waiter.expire()
