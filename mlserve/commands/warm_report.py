"""What ``mlserve warm`` says: the first refusals and a bar on standard error, one line of counts on standard output."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.text import Text

from mlserve.commands.bar import Bar
from mlserve.commands.fill import Filled
from mlserve.commands.row_reader import RowReader

TOLD: Final = 10
"""Refusals that are told; the others are only counted."""


class WarmReport:
    """Used with ``with``; its methods are called from one thread at a time, and block as a terminal does.

    ``total_bytes`` is the size of the file, where it is known.
    """

    def __init__(
        self,
        output: Console,
        errors: Console,
        *,
        bar: bool,
        total_bytes: int | None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._output = output
        self._errors = errors
        self._bar = Bar(errors, shown=bar, total_bytes=total_bytes, clock=clock)
        self._noted = False
        self.stored = self.computed = self.refused = 0
        """Rows, so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()
        rows = self._rows
        if kind is not None and not rows:
            return  # the error says it all
        count = f"{rows:,} row{'s' if rows != 1 else ''} read"
        became = f"{self.stored:,} already stored, {self.computed:,} computed, {self.refused:,} refused"
        cut = ", stopped" if kind is not None else ""
        self._output.print(Text(f"{count}: {became}, in {self._bar.seconds:.2f} s{cut}"), soft_wrap=True)

    def filled(self, filled: Filled, reader: RowReader) -> None:
        """What became of a few more rows, the last that ``reader`` gave."""
        if reader.left_out and not self._noted:
            self._noted = True
            self._say(f"note: columns that are no inputs of the model: {', '.join(reader.left_out)}")
        for refusal in filled.refused[: max(0, TOLD - self.refused)]:
            self._say(f"line {refusal.line}: {refusal.reason}")
        told_all = self.refused <= TOLD
        self.stored += filled.stored
        self.computed += filled.computed
        self.refused += len(filled.refused)
        if told_all and self.refused > TOLD:
            self._say("further refusals are only counted")
        self._bar.move(self._rows, reader.bytes_read)

    @property
    def _rows(self) -> int:
        return self.stored + self.computed + self.refused

    def _say(self, line: str) -> None:
        self._errors.print(Text(line), soft_wrap=True)
