"""Which runs stay on the event loop: those of a size that was quick at load, for as long as they are.

What was measured at load may not hold: inputs of a free length get longer, a neighbour takes the processor's caches. So
each run on the loop is timed, and a size that proves slow goes to threads for a while. The threads cost every run its
way there and back, so it is tried on the loop again, later each time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic, perf_counter, thread_time
from typing import Final

_log = logging.getLogger(__name__)

LIMIT_S: Final = 200e-6
"""A run that takes longer than this leaves the event loop: a hand-off to a thread costs about a quarter of it."""

MOST_OWED: Final = 64
HEAVIEST: Final = 16
FIRST_PAUSE_S: Final = 60.0
LONGEST_PAUSE_S: Final = 3600.0


class OnLoop:
    """The judge of one version's runs. Used on the event loop only.

    A run that takes k times the limit owes k quick ones, at most ``HEAVIEST``; at ``MOST_OWED`` its size leaves. So
    those leave whose mean is over the limit, and four runs in a row of a model that hangs are enough.

    While nothing is owed, ``stopwatch`` is that of the wall, which costs nothing to read. Then it is the processor time
    of the thread: a run that only lost the processor to a neighbour would be no quicker in a thread.
    """

    def __init__(
        self,
        model_id: str,
        measured_rows: int,
        *,
        on_left: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = monotonic,
        wall: Callable[[], float] = perf_counter,
        processor: Callable[[], float] = thread_time,
    ) -> None:
        """``measured_rows``: the largest request that was quick at load; 0 keeps the loop free of this model.

        ``on_left`` is told each time that a size leaves. ``clock``, ``wall`` and ``processor`` count seconds.
        """
        self.stopwatch = wall
        """To be read before and after a run, the same one both times."""
        self._wall = wall
        self._processor = processor
        self._model_id = model_id
        self._measured_rows = measured_rows
        self._on_left = on_left
        self._clock = clock
        self._rows = measured_rows
        self._owed = 0
        self._slow_rows = 0
        self._pause_s = FIRST_PAUSE_S
        self._back_at = 0.0

    def takes(self, rows: int) -> bool:
        """True if a request of so many rows may run on the loop now."""
        if rows <= self._rows:
            return True
        if rows > self._measured_rows or self._clock() < self._back_at:
            return False
        self._rows = self._measured_rows
        return True

    def ran(self, seconds: float, rows: int) -> None:
        """Called after each run on the loop, however it ended, with what the stopwatch said."""
        if seconds <= LIMIT_S:
            # A quick run of fewer rows than the slow ones had says nothing about those.
            if self._owed and rows >= self._slow_rows:
                self._owe(self._owed - 1)
            return
        self._slow_rows = min(rows, self._slow_rows) if self._owed else rows
        self._owe(self._owed + min(int(seconds / LIMIT_S), HEAVIEST))
        if self._owed >= MOST_OWED:
            self._leave(seconds)

    def _owe(self, runs: int) -> None:
        self._owed = runs
        self.stopwatch = self._processor if runs else self._wall

    def _leave(self, seconds: float) -> None:
        self._rows = self._slow_rows // 2
        self._owe(0)
        self._back_at = self._clock() + self._pause_s
        self._on_left()
        _log.warning(
            "%s: runs of %d rows take %.1f ms of the event loop, expected %.1f: they run in threads for %.0f s",
            self._model_id,
            self._slow_rows,
            seconds * 1e3,
            LIMIT_S * 1e3,
            self._pause_s,
        )
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
