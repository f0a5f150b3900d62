"""What a person learns of a warm-up, and a script from its one line."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest
from rich.console import Console

from mlserve.commands.fill import Filled, Refusal
from mlserve.commands.row_reader import RowReader
from mlserve.commands.warm_report import TOLD, WarmReport
from mlserve.errors import SetupError


class FakeReader:
    bytes_read = 100
    left_out = ("id", "label")


READER = cast("RowReader", FakeReader())


@dataclass
class Desk:
    """A report, and what it said on both outputs."""

    output: io.StringIO = field(default_factory=io.StringIO)
    errors: io.StringIO = field(default_factory=io.StringIO)
    now: float = 100.0

    @contextmanager
    def report(self) -> Iterator[WarmReport]:
        consoles = [Console(file=file, width=40, highlight=False) for file in (self.output, self.errors)]
        with WarmReport(*consoles, bar=False, total_bytes=None, clock=lambda: self.now) as report:
            yield report


def test_one_line_of_counts_stands_at_the_end() -> None:
    """Whole, however narrow the terminal."""
    desk = Desk()
    with desk.report() as report:
        report.filled(Filled(3, 1200, (Refusal(7, "no [bold]good[/bold]"),)), READER)
        report.filled(Filled(2, 1), READER)
        desk.now += 2.5
    assert desk.output.getvalue() == ("1,207 rows read: 5 already stored, 1,201 computed, 1 refused, in 2.50 s\n")
    assert desk.errors.getvalue() == (
        "note: columns that are no inputs of the model: id, label\nline 7: no [bold]good[/bold]\n"
    )
    assert (report.stored, report.computed, report.refused) == (5, 1201, 1)


def test_only_the_first_refusals_are_told() -> None:
    """A wrong file of a million rows would drown what is wrong with it."""
    desk = Desk()
    with desk.report() as report:
        for at in range(4):
            report.filled(Filled(refused=tuple(Refusal(at * 4 + line, "no") for line in range(4))), READER)
    said = desk.errors.getvalue().splitlines()[1:]
    assert said == [*(f"line {line}: no" for line in range(TOLD)), "further refusals are only counted"]
    assert "16 refused" in desk.output.getvalue()


def test_all_are_told_while_they_are_few() -> None:
    desk = Desk()
    with desk.report() as report:
        report.filled(Filled(refused=(Refusal(1, "no"),) * TOLD), READER)
        report.filled(Filled(1), READER)
    assert "further" not in desk.errors.getvalue()


def test_an_end_before_the_file_s_is_told() -> None:
    """Else it looks as if all rows had been read."""
    desk = Desk()

    def stopped(rows: int) -> None:
        with desk.report() as report:
            report.filled(Filled(rows), READER)
            raise SetupError("the store is full")

    with pytest.raises(SetupError):
        stopped(1)
    assert desk.output.getvalue() == "1 row read: 1 already stored, 0 computed, 0 refused, in 0.00 s, stopped\n"
    desk.output.truncate(0)
    with pytest.raises(SetupError):
        stopped(0)
    assert desk.output.getvalue() == "", "the error says it all"
