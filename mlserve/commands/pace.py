"""So many rows a second, and no more."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic


class Pace:
    """Pure: says how long to wait, and leaves the waiting to its caller. Time that nobody used is not made up for.

    ``rows_per_s`` is above 0; ``None`` for no limit.
    """

    def __init__(self, rows_per_s: float | None, clock: Callable[[], float] = monotonic) -> None:
        self._rows_per_s = rows_per_s
        self._clock = clock
        self._next_at = clock()

    def wait_s(self, rows: int) -> float:
        """Seconds until the next ``rows`` may go. Ask once for each batch: it counts them as gone then."""
        if self._rows_per_s is None:
            return 0.0
        now = self._clock()
        goes_at = max(self._next_at, now)
        self._next_at = goes_at + rows / self._rows_per_s
        return goes_at - now
