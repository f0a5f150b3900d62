"""A profile as one HTML page: a flame graph in SVG and a table, without scripts or anything from elsewhere.

Everything that comes from the profile is escaped: names of functions and threads are whatever user code says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Final
from zlib import crc32

from mlserve.observe.profile import Profile

WIDTH: Final = 1200
ROW: Final = 18
SMALLEST: Final = 0.001
"""Of all time; what took less is not drawn."""
LISTED: Final = 30
_CHARACTER: Final = 6.6

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>mlserve profile</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem; color: #222; background: #fff }}
svg {{ width: 100%; min-width: 60rem; font: 11px ui-monospace, monospace }}
rect {{ stroke: #fff; stroke-width: .5 }}
g:hover rect {{ stroke: #000 }}
div {{ overflow-x: auto }}
table {{ border-collapse: collapse }}
td, th {{ text-align: left; padding: .1rem .8rem .1rem 0 }}
td + td, th + th {{ text-align: right }}
tr > :first-child {{ font-family: ui-monospace, monospace }}
</style>
</head>
<body>
<h1>Profile of {seconds:.1f} s</h1>
<p>{summary}</p>
<h2>Stacks</h2>
<p>The outermost call is on top, the width is its share of the time. Hold the pointer over a box for its whole name.</p>
<div>{graph}</div>
<h2>Functions</h2>
<table>
<tr><th scope="col">function</th><th scope="col">itself</th><th scope="col">with what it calls</th></tr>
{rows}
</table>
</body>
</html>
"""


@dataclass(slots=True)
class Box:
    """One call in the graph, and those that it makes."""

    seconds: float = 0.0
    calls: dict[str, Box] = field(default_factory=dict)


def flame_page(profile: Profile) -> str:
    """The whole page."""
    root = _tree(profile.stacks)
    return _PAGE.format(
        seconds=profile.seconds,
        summary=_summary(profile, root.seconds),
        graph=_graph(root),
        rows="\n".join(_rows(profile.stacks)),
    )


def _summary(profile: Profile, shown_s: float) -> str:
    looks = f"{profile.looks} looks at the stacks of all threads"
    if not profile.on_cpu:
        return f"{looks}. This system does not tell threads' processor time: waiting is shown like work."
    outside_s = max(0.0, profile.process_s - shown_s)
    return (
        f"{looks}. Processor time: {shown_s:.2f} s in threads that run Python, shown below; {outside_s:.2f} s "
        "elsewhere: in this profiler, and in native threads of runtimes such as ONNX Runtime and TensorFlow."
    )


def _tree(stacks: Mapping[tuple[str, ...], float]) -> Box:
    root = Box()
    for stack, seconds in stacks.items():
        box = root
        box.seconds += seconds
        for name in stack:
            box = box.calls.setdefault(name, Box())
            box.seconds += seconds
    return root


def _graph(root: Box) -> str:
    boxes = list(_boxes(root, root.seconds, 0.0, 0)) if root.seconds else []
    if not boxes:
        return "<p>No thread that runs Python used the processor meanwhile.</p>"
    height = ROW * (max(depth for depth, _ in boxes) + 1)
    drawn = "\n".join(text for _, text in boxes)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="flame graph; the table has the same">{drawn}</svg>'
    )


def _boxes(parent: Box, total_s: float, left: float, depth: int) -> Iterator[tuple[int, str]]:
    for name, box in sorted(parent.calls.items()):
        share = box.seconds / total_s
        if share >= SMALLEST:
            yield depth, _box(name, box.seconds, share, left, depth)
            yield from _boxes(box, total_s, left, depth + 1)
            left += WIDTH * share


def _box(name: str, seconds: float, share: float, left: float, depth: int) -> str:
    width = WIDTH * share
    room = int((width - 6) / _CHARACTER)
    short = name if len(name) <= room else f"{name[: room - 1]}…" if room > 3 else ""
    top = ROW * depth
    return (
        f"<g><title>{escape(name)}: {seconds:.3f} s, {share:.1%}</title>"
        f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{ROW}" fill="{_colour(name)}"/>'
        f'<text x="{left + 3:.1f}" y="{top + 13}">{escape(short)}</text></g>'
    )


def _colour(name: str) -> str:
    """One for each module, warm and light enough for black letters."""
    number = crc32(name.partition(".")[0].encode("utf-8", "replace"))
    return f"hsl({number % 60},{70 + number // 60 % 25}%,{68 + number // 1500 % 12}%)"


def _rows(stacks: Mapping[tuple[str, ...], float]) -> Iterator[str]:
    alone: defaultdict[str, float] = defaultdict(float)
    whole: defaultdict[str, float] = defaultdict(float)
    for stack, seconds in stacks.items():
        alone[stack[-1]] += seconds
        for name in set(stack[1:]):
            whole[name] += seconds
    for name, seconds in sorted(alone.items(), key=lambda item: -item[1])[:LISTED]:
        yield f"<tr><td>{escape(name)}</td><td>{seconds:.3f} s</td><td>{whole[name]:.3f} s</td></tr>"
