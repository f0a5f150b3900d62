"""What ``mlserve eval MODEL -`` says on standard error: failed rows, a bar while it takes long, counts at the end."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

LONG_S: Final = 1.0
"""What takes less needs no bar."""


class Report:
    """Used with ``with``; its methods are called from one thread at a time, and block as a terminal does."""

    def __init__(
        self, console: Console, *, bar: bool, total_bytes: int | None, clock: Callable[[], float] = monotonic
    ) -> None:
        """``total_bytes`` is the size of the input, where it is known."""
        self._console = console
        self._clock = clock
        self._begun = clock()
        self._rows = self._failed = 0
        self._progress = _progress(console) if bar else None
        self._total_bytes = total_bytes
        self._task: TaskID | None = None
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
        if kind is BrokenPipeError:
            return  # whoever reads the answers has enough, such as head: nobody asks
        seconds = self._clock() - self._begun
        count = f"{self._rows:,} row{'s' if self._rows != 1 else ''}"
        failed = f", {self._failed:,} failed" if self._failed else ""
        cut = ", stopped" if kind is not None else ""
        rate = f"{self._rows / max(seconds, 1e-6):,.0f} rows/s"
        self._say(f"{count} in {seconds:.2f} s, {rate}{failed}{cut}")

    @property
    def failed(self) -> int:
        return self._failed

    def failure(self, first: int, last: int, rows: int, problem: str) -> None:
        """``rows`` rows, on the lines from ``first`` to ``last``, have no answer, all for the same reason."""
        self._failed += rows
        where = f"line {first}" if first == last else f"lines {first} to {last}"
        self._say(f"{where}: {problem}")

    def answered(self, rows: int, size_bytes: int) -> None:
        """So many more rows are done, failed ones included."""
        self._rows += rows
        self._bytes += size_bytes
        if self._progress is None:
            return
        seconds = self._clock() - self._begun
        if self._task is None:
            if seconds < LONG_S:
                return
            self._task = self._progress.add_task("", total=self._total_bytes)
            self._progress.start()
        words = f"{self._rows:,} rows, {self._rows / seconds:,.0f} rows/s"
        self._progress.update(self._task, completed=self._bytes, description=words)

    def _say(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)


def _progress(console: Console) -> Progress:
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
