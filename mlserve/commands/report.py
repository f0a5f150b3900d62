"""What ``mlserve eval MODEL -`` says on standard error: failed rows, a bar while it takes long, counts at the end."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

from mlserve.commands.bar import Bar


class Report:
    """Used with ``with``; its methods are called from one thread at a time, and block as a terminal does."""

    def __init__(
        self, console: Console, *, bar: bool, total_bytes: int | None, clock: Callable[[], float] = monotonic
    ) -> None:
        """``total_bytes`` is the size of the input, where it is known."""
        self._console = console
        self._bar = Bar(console, shown=bar, total_bytes=total_bytes, clock=clock)
        self._rows = self._failed = self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()
        if kind is BrokenPipeError:
            return  # whoever reads the answers has enough, such as head: nobody asks
        seconds = self._bar.seconds
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
        self._bar.move(self._rows, self._bytes)

    def _say(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)
