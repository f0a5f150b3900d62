"""Tells callers at once what they would learn at their deadline: that the line before them is too long.

A bound in rows cannot do this. 16,384 rows are nothing for a model that answers 100,000 in a second, and an hour for
one that answers five. So the line is measured in time: what is ahead, times what runs took of late.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import ceil
from time import monotonic
from typing import Final

from mlserve.errors import Overloaded
from mlserve.types import Context, Predict, Rows

_WEIGHT: Final = 0.1
"""Of the newest run in all means: the last twenty or so decide, so that one slow run does not close the door."""
_SAFE_SHARE: Final = 0.8
"""Of the time left that the expected wait may fill: runs vary, and an answer has to be written yet."""


class RunCost:
    """What a run of so many rows takes, by those seen of late: a line fitted through them, newer ones weighing more.

    Runs of two sizes are enough to tell what a run costs from what a row costs.
    """

    __slots__ = ("_covariance", "_rows", "_seconds", "_variance")

    def __init__(self) -> None:
        self._rows = self._seconds = 0.0
        self._variance = self._covariance = 0.0

    def observe(self, seconds: float, rows: int) -> None:
        """A run of ``rows`` took ``seconds``."""
        if not self._seconds:
            self._seconds, self._rows = seconds, float(rows)
            return
        more_s, more_rows = seconds - self._seconds, rows - self._rows
        self._seconds += _WEIGHT * more_s
        self._rows += _WEIGHT * more_rows
        self._variance = (1 - _WEIGHT) * (self._variance + _WEIGHT * more_rows * more_rows)
        self._covariance = (1 - _WEIGHT) * (self._covariance + _WEIGHT * more_rows * more_s)

    def seconds(self, rows: int) -> float:
        """What a run of ``rows`` would take; 0 before the first was seen.

        A row costs no less than nothing, and a run without rows neither: noise in the times cannot say otherwise.
        """
        if not self._variance:
            return self._seconds
        per_row = min(max(self._covariance / self._variance, 0.0), self._seconds / self._rows)
        return self._seconds + per_row * (rows - self._rows)


def expected_wait_s(*, ahead: int, own: int, per_run: int, parallel: int, run_s: float) -> float:
    """Seconds until ``own`` rows that come now are answered, with ``ahead`` rows running or waiting before them.

    Runs take ``run_s`` seconds and up to ``per_run`` rows each, and ``parallel`` of them go on at a time.
    """
    return run_s * (ceil(ahead / per_run) / parallel + max(1.0, ceil(own / per_run) / parallel))


class Admission:
    """A ``Predict`` that refuses rows which would not be answered before their deadline. One per deployment.

    It stands before the batcher, with the most rows that one run takes as ``rows_per_run``, or before the runner of a
    model that is not batched, with ``None``: each request is a run then. ``ahead`` tells what is let in and not yet
    answered: rows, or runs where each request is one. It is told of runs by :meth:`observe_run`. Who finds nothing
    ahead is never refused: there has to be a run for the estimate to learn from.
    """

    def __init__(
        self,
        model_id: str,
        predict: Predict,
        *,
        ahead: Callable[[], int],
        rows_per_run: int | None,
        parallel: int,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._model_id = model_id
        self._ahead = ahead
        self._predict = predict
        self._rows_per_run = rows_per_run
        self._parallel = parallel
        self._clock = clock
        self._cost = RunCost()
        self._full_run_s = 0.0

    def observe_run(self, seconds: float, rows: int) -> None:
        """A run of ``rows`` took ``seconds``. From any thread: two at once may lose one, which no estimate minds."""
        self._cost.observe(seconds, 1 if self._rows_per_run is None else rows)
        self._full_run_s = self._cost.seconds(self._rows_per_run or 1)

    def __call__(self, rows: Rows, context: Context) -> Awaitable[Rows]:
        """Raises ``Overloaded``, with the time after which to try again, and what the ``Predict`` behind raises."""
        ahead = self._ahead()
        if ahead:
            self._refuse_too_late(ahead, 1 if self._rows_per_run is None else rows.count, context.deadline)
        return self._predict(rows, context)

    def _refuse_too_late(self, ahead: int, own: int, deadline: float) -> None:
        per_run = self._rows_per_run or 1
        affordable_s = _SAFE_SHARE * (deadline - self._clock())
        # No run takes longer than a full one, so nobody waits longer than this: mostly there is no need to look closer.
        if self._full_run_s * ((ahead + own) / per_run + 2) <= affordable_s:
            return
        run_s = self._cost.seconds(min(per_run, ahead + own))
        wait_s = expected_wait_s(ahead=ahead, own=own, per_run=per_run, parallel=self._parallel, run_s=run_s)
        if wait_s > affordable_s:
            raise Overloaded(
                f"{self._model_id} would answer in about {wait_s:.2g} s, later than the deadline",
                retry_after_s=wait_s - affordable_s,
            )
