"""The one deadline of a connection, set anew for every request without a new timer for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf


class Deadline:
    """Calls ``passed`` when the time set last is up.

    A timer set for earlier stays where it is: when it fires it finds that there is time left, and waits for the rest.
    So a busy connection, which moves its deadline with every request, sets a timer now and then instead of each time.
    """

    __slots__ = ("_at", "_loop", "_passed", "_timer", "_timer_at")

    def __init__(self, loop: asyncio.AbstractEventLoop, passed: Callable[[], None]) -> None:
        self._loop = loop
        self._passed = passed
        self._at = inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf

    def set(self, seconds: float) -> None:
        """From now on; replaces what was set before."""
        self._at = at = self._loop.time() + seconds
        if at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self._loop.call_at(at, self._fire)

    def clear(self) -> None:
        """No deadline until one is set."""
        self._at = inf

    def close(self) -> None:
        """No deadline, and nothing of this is left in the loop."""
        self._at = self._timer_at = inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        self._timer_at = inf
        left = self._at - self._loop.time()
        if left == inf:
            return
        if left > 0:
            self.set(left)
        else:
            self._passed()
