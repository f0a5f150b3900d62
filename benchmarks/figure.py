"""One line of the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

HEAD = ("measured", "figure", "range", "beside", "goal", "")


@dataclass(frozen=True, slots=True)
class Figure:
    """The median of ``runs``, in ``unit``. ``below`` or ``above`` is the goal, if there is one.

    ``beside`` says what else ran.
    """

    measured: str
    runs: Sequence[float]
    unit: str
    below: float | None = None
    beside: str = ""
    above: float | None = None

    @property
    def value(self) -> float:
        return median(self.runs)

    def cells(self) -> tuple[str, ...]:
        """As :data:`HEAD` names them."""
        low, high = number(min(self.runs)), number(max(self.runs))
        measured, shown = self.measured, f"{number(self.value)} {self.unit}"
        return measured, shown, f"{low} to {high}", self.beside, *self._goal()

    def _goal(self) -> tuple[str, str]:
        if self.below is not None:
            return f"< {number(self.below)} {self.unit}", "ok" if self.value < self.below else "over"
        if self.above is not None:
            return f"> {number(self.above)} {self.unit}", "ok" if self.value > self.above else "under"
        return "", ""


def number(value: float) -> str:
    """Three digits that matter, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def compared(ours: Sequence[float], other: Sequence[float]) -> float:
    """The median of the ratios of runs that took turns."""
    return median(mine / theirs for mine, theirs in zip(ours, other, strict=True))


def table(rows: Sequence[Sequence[str]], head: Sequence[str] = HEAD) -> str:
    """``rows`` under ``head``, in Markdown that also reads well as it stands."""
    lines = [head, *rows]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(head))]
    drawn = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([drawn[0], rule, *drawn[1:]])
