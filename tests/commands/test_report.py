"""What a person learns while rows are asked, and what a log keeps of it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mlserve.commands.report import Report


class Clock:
    """Moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def terminal(file: io.StringIO) -> Console:
    return Console(file=file, force_terminal=True, width=100, highlight=False, _environ={"TERM": "xterm"})


def test_counts_and_rate_stand_at_the_end() -> None:
    said, clock = io.StringIO(), Clock()
    with Report(Console(file=said), bar=False, total_bytes=None, clock=clock) as report:
        report.answered(3000, 10)
        report.failure(7, 7, 1, "no [bold]good[/bold]")
        report.failure(8, 12, 4, "no good")
        clock.now += 2
    assert said.getvalue() == (
        "line 7: no [bold]good[/bold]\nlines 8 to 12: no good\n3,000 rows in 2.00 s, 1,500 rows/s, 5 failed\n"
    )
    assert report.failed == 5


def test_an_end_before_the_input_s_is_told() -> None:
    """Else nobody would see that the output is not whole."""
    said = io.StringIO()

    def interrupted() -> None:
        with Report(Console(file=said), bar=False, total_bytes=None, clock=Clock()) as report:
            report.answered(1, 10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert said.getvalue().startswith("1 row in 0.00 s, ")
    assert said.getvalue().endswith(" rows/s, stopped\n")


def test_long_lines_are_not_broken() -> None:
    said = io.StringIO()
    with Report(Console(file=said, width=40), bar=False, total_bytes=None) as report:
        report.failure(1, 1, 1, "word " * 30)
    assert said.getvalue().count("\n") == 2


def test_a_bar_comes_only_when_it_takes_long() -> None:
    said, clock = io.StringIO(), Clock()
    with Report(terminal(said), bar=True, total_bytes=1000, clock=clock) as report:
        clock.now += 0.5
        report.answered(10, 100)
        assert said.getvalue() == ""
        clock.now += 1.5
        report.answered(30, 300)
        clock.now += 2
        report.answered(10, 100)
        report.failure(50, 50, 1, "no good")
    assert "50%" in said.getvalue()
    assert "50 rows, 12 rows/s" in said.getvalue()
    assert "line 50: no good" in said.getvalue()
    assert said.getvalue().endswith("50 rows in 4.00 s, 12 rows/s, 1 failed\n")
    assert "\x1b[?25h" in said.getvalue(), "the cursor stays hidden"


def test_the_length_of_a_pipe_is_not_made_up() -> None:
    said, clock = io.StringIO(), Clock()
    with Report(terminal(said), bar=True, total_bytes=None, clock=clock) as report:
        clock.now += 5
        report.answered(10, 100)
    assert "%" not in said.getvalue()
    assert "10 rows, 2 rows/s" in said.getvalue()
