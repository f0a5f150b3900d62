"""When does a line go? A pure function of numbers; the timers and futures are in ``batcher.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_NO_TIME_S: Final = 1e-6
"""Clocks are sums of floats: what is left of a window by less than this is no more than their error."""


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How a model's rows are batched. Times in seconds, sizes in rows.

    ``wait_s`` 0 means batch while busy: rows that find a runner idle go at once, those that come during a run form the
    next batch. A longer one holds a batch open, counted from its first row. ``increment_s`` and ``increment_max`` are
    mly's ``TimeoutAdjustments``: the window is the increment times the runs in progress, of which it counts no more
    than the maximum, and takes the place of ``wait_s``.
    """

    max_rows: int
    max_queued_rows: int
    max_runs: int
    wait_s: float = 0.0
    increment_s: float = 0.0
    increment_max: int = 0

    def window_s(self, runs: int) -> float:
        """How long a batch stays open while ``runs`` are in progress."""
        if not self.increment_max:
            return self.wait_s
        return self.increment_s * min(runs, self.increment_max)


def seconds_to_wait(policy: BatchPolicy, *, rows: int, oldest_age_s: float, runs: int) -> float | None:
    """For a line of ``rows``: 0 to send it now, a time after which to ask again, or ``None`` until a run ends."""
    if not rows or runs >= policy.max_runs:
        return None
    if rows >= policy.max_rows:
        return 0.0
    left = policy.window_s(runs) - oldest_age_s
    return left if left > _NO_TIME_S else 0.0
