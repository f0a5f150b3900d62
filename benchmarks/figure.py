"""One line of the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

HEAD = ("measured", "figure", "range", "beside", "goal", "")


@dataclass(frozen=True, slots=True)
class Figure:
    """The median of ``runs``, in ``unit``. ``below`` is the goal, if one was set; ``beside`` says what else ran."""

    measured: str
    runs: Sequence[float]
    unit: str
    below: float | None = None
    beside: str = ""

    @property
    def value(self) -> float:
        return median(self.runs)

    def cells(self) -> tuple[str, ...]:
        """As :data:`HEAD` names them."""
        low, high = number(min(self.runs)), number(max(self.runs))
        goal = "" if self.below is None else f"< {number(self.below)} {self.unit}"
        verdict = "" if self.below is None else "ok" if self.value < self.below else "over"
        return self.measured, f"{number(self.value)} {self.unit}", f"{low} to {high}", self.beside, goal, verdict


def number(value: float) -> str:
    """Three digits that matter, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def compared(ours: Sequence[float], other: Sequence[float]) -> float:
    """The median of the ratios of runs that took turns."""
    return median(mine / theirs for mine, theirs in zip(ours, other, strict=True))


def table(rows: Sequence[Sequence[str]]) -> str:
    """``rows`` under :data:`HEAD`, in Markdown that also reads well as it stands."""
    lines = [HEAD, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    drawn = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([drawn[0], rule, *drawn[1:]])
