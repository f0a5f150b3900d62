"""Processor time of an answer along each axis, in SVG by hand: a panel each, both scales logarithmic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from math import ceil, floor, log10
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.figure import number
from benchmarks.growth.axis import COMPUTED, HITS
from benchmarks.growth.results import Grown

_PANEL: Final = (360, 250)
_ACROSS: Final = 2
_MARGINS: Final = (48, 16, 34, 40)
"""Left, right, top and bottom of a panel, in pixels; between them is where lines run."""
_COLOURS: Final = {HITS: "#0b7285", COMPUTED: "#e8590c"}
"""The same in every panel; what else there is has the others in turn."""
_OTHER_COLOURS: Final = ("#5f3dc4", "#868e96")


@dataclass(frozen=True, slots=True)
class _Scale:
    """Logarithms of values between ``low`` and ``high``, as pixels between ``start`` and ``end``."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (log10(value) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def plot(results: Mapping[str, Sequence[Grown]]) -> str:
    """A whole SVG document. ``results`` by the title of their axis."""
    width, height = _ACROSS * _PANEL[0], -(-len(results) // _ACROSS) * _PANEL[1]
    lines: list[str] = []
    for place, (title, found) in enumerate(results.items()):
        lines.append(f'<g transform="translate({place % _ACROSS * _PANEL[0]} {place // _ACROSS * _PANEL[1]})">')
        lines += [*_panel(title, found), "</g>"]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11" fill="#212529">'
    )
    return "\n".join([head, f'<rect width="{width}" height="{height}" fill="#ffffff"/>', *lines, "</svg>", ""])


def _panel(title: str, found: Sequence[Grown]) -> Iterator[str]:
    left, right, top, bottom = _MARGINS
    counts = sorted({count for line in found for count in line.cpu_us})
    costs = [line.cost(count) for line in found for count in line.cpu_us]
    across = _Scale(log10(counts[0]), log10(counts[-1]), left, _PANEL[0] - right)
    # From a whole power of ten to another: lines that look steep are.
    up = _Scale(floor(log10(min(costs))), ceil(log10(max(costs)) + 1e-9), _PANEL[1] - bottom, top)
    yield f'<text x="{left}" y="16" font-weight="bold">us of processor, by {escape(title)}</text>'
    for power in range(int(up.low), int(up.high) + 1):
        y = up.at(10.0**power)
        yield f'<line x1="{left}" y1="{y}" x2="{_PANEL[0] - right}" y2="{y}" stroke="#dee2e6"/>'
        yield f'<text x="{left - 5}" y="{y + 4}" text-anchor="end">{10**power:,}</text>'
    for count in counts:
        yield f'<text x="{across.at(count)}" y="{_PANEL[1] - bottom + 14}" text-anchor="middle">{_short(count)}</text>'
    others = cycle(_OTHER_COLOURS)
    for place, line in enumerate(found):
        colour = _COLOURS.get(line.name) or next(others)
        yield from _line(line, across, up, colour)
        yield (
            f'<text x="{left + place % 2 * 150}" y="{_PANEL[1] - 13 + place // 2 * 11}" fill="{colour}">'
            f"{escape(line.name)}</text>"
        )


def _line(line: Grown, across: _Scale, up: _Scale, colour: str) -> Iterator[str]:
    points = [(across.at(count), up.at(line.cost(count)), line.cost(count)) for count in sorted(line.cpu_us)]
    path = " ".join(f"{x},{y}" for x, y, _ in points)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for x, y, cost in points:
        yield f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}"><title>{number(cost)} us</title></circle>'


def _short(count: int) -> str:
    """As there is room for: 1k, 1M."""
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if count >= unit:
            return f"{count // unit}{letter}"
    return str(count)
