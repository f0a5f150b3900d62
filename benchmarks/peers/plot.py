"""The processor time of an answer as bars, in SVG by hand: a panel for each case, each with a scale of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.figure import number
from benchmarks.peers.ours import NAME
from benchmarks.peers.results import Asked, Results
from benchmarks.peers.workload import CASES

_WIDTH: Final = 720
_LEFT: Final = 190
_LONGEST: Final = 420
_BAR: Final = 18
_STEP: Final = 26
_TITLE: Final = 44
_OURS: Final = "#0b7285"
_THEIRS: Final = "#adb5bd"


def plot(results: Results) -> str:
    """A whole SVG document."""
    panels = [(case.name, results.of(case)) for case in CASES]
    height = sum(_TITLE + _STEP * len(asked) for _, asked in panels) + _STEP
    lines: list[str] = []
    top = 0
    for title, asked in panels:
        lines += _panel(title, asked, top)
        top += _TITLE + _STEP * len(asked)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="13" fill="#212529">'
    )
    return "\n".join([head, f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>', *lines, "</svg>", ""])


def _panel(title: str, all_asked: list[Asked], top: int) -> Iterator[str]:
    yield f'<text x="12" y="{top + 28}" font-weight="bold">{escape(title)}: microseconds of processor each</text>'
    longest = max((asked.cost for asked in all_asked), default=1.0)
    for place, asked in enumerate(all_asked):
        y = top + _TITLE + place * _STEP
        width = max(1, round(_LONGEST * asked.cost / longest))
        colour = _OURS if asked.name == NAME else _THEIRS
        yield f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(asked.name)}</text>'
        yield f'<rect x="{_LEFT}" y="{y}" width="{width}" height="{_BAR}" fill="{colour}"/>'
        yield f'<text x="{_LEFT + width + 6}" y="{y + 14}">{number(asked.cost)}</text>'
