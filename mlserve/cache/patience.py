"""A time limit that is fair to others when it is we who are late.

If the event loop was busy (a model that ran on it, a long batch), an answer and the timer that gives up on it are both
overdue, and the answer may lie in the socket already. A timer that fires late waits once more, for half as long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Patience:
    """Calls ``given_up`` after ``seconds``; :meth:`end` it. Made on the running loop."""

    __slots__ = ("_again_s", "_due", "_given_up", "_timer")

    def __init__(self, seconds: float, given_up: Callable[[], object]) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + seconds
        self._again_s = seconds / 2
        self._given_up = given_up
        self._timer = loop.call_at(self._due, self._fire)

    def end(self) -> None:
        """Nothing is called any more."""
        self._timer.cancel()

    def _fire(self) -> None:
        loop = asyncio.get_running_loop()
        if self._again_s and loop.time() - self._due > self._again_s:
            self._timer = loop.call_later(self._again_s, self._fire)
            self._again_s = 0.0
        else:
            self._given_up()


class Patient:
    """``async with Patient(seconds)``: raises :class:`TimeoutError` out of a block that takes longer than that."""

    __slots__ = ("_patience", "_scope", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._scope = asyncio.timeout(None)

    def give_up(self) -> None:
        """The time is up now, inside the block."""
        if self._scope.when() is None:
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        self._patience = Patience(self._seconds, self.give_up)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._patience.end()
        await self._scope.__aexit__(kind, error, trace)
