"""A bar on standard error, for what takes long enough to wonder."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

LONG_S: Final = 1.0
"""What takes less needs no bar."""


class Bar:
    """How much of the input is done, and how fast. Never seen unless ``shown``; :meth:`stop` it at the end.

    ``total_bytes`` is the size of the input, where it is known.
    """

    def __init__(
        self, console: Console, *, shown: bool, total_bytes: int | None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._clock = clock
        self._begun = clock()
        self._progress = _progress(console) if shown else None
        self._total_bytes = total_bytes
        self._task: TaskID | None = None

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self._clock() - self._begun

    def move(self, rows: int, done_bytes: int) -> None:
        """``rows`` are done in all, and so much of the input."""
        if self._progress is None:
            return
        seconds = self.seconds
        if self._task is None:
            if seconds < LONG_S:
                return
            self._task = self._progress.add_task("", total=self._total_bytes)
            self._progress.start()
        words = f"{rows:,} rows, {rows / seconds:,.0f} rows/s"
        self._progress.update(self._task, completed=done_bytes, description=words)

    def stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()


def _progress(console: Console) -> Progress:
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
