"""What readers are told of growth, in a table and in a picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from benchmarks.growth.axis import FLAT, LINEAR
from benchmarks.growth.holding import Holding
from benchmarks.growth.plot import plot
from benchmarks.growth.report import report
from benchmarks.growth.results import Grown

SVG = "{http://www.w3.org/2000/svg}"


def results() -> dict[str, list[Grown]]:
    """Hits that grow and should not; computed answers that were measured at one count more."""
    hits, computed = Grown("hits", FLAT), Grown("computed", LINEAR)
    for count in (1, 1000):
        hits.add(count, 10.0 * count**0.5, 100_000)
    for count in (1, 1000, 1_000_000):
        computed.add(count, 80.0, 12_500)
    return {"keys": [hits, computed]}


def cells(text: str, name: str) -> list[str]:
    (row,) = (line for line in text.splitlines() if line.startswith(f"| {name} "))
    return [cell.strip() for cell in row.split("|")][1:-1]


def test_growth_that_should_not_be_is_told() -> None:
    """A table of figures in which nobody sees the one that is wrong."""
    text = report(results(), [])
    assert cells(text, "hits: CPU each") == [
        "hits: CPU each", "10.0 us", "316 us", "", "n^0.50", "n^0.05", "n^0.50", "over",
    ]  # fmt: skip
    assert cells(text, "computed: CPU each")[-1] == "ok"


def test_memory_is_told_for_each_further_model() -> None:
    """All of a process's memory charged to its models would say that a single one costs a hundred megabytes."""
    held = [Holding(1, 1.5, 100_000_000, 0.002, 0.003), Holding(1001, 7.0, 250_000_000, 0.5, 0.6)]
    assert cells(report({}, held), "1,001") == ["1,001", "7.00 s", "250 MB", "150 kB", "500 ms", "600 ms"]


def test_the_plot_has_a_panel_for_each_axis_and_a_point_for_each_count() -> None:
    """A page with a broken picture, or a point in the wrong place."""
    drawn = ET.fromstring(plot(results()))
    (panel,) = drawn.iter(f"{SVG}g")
    points = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in panel.iter(f"{SVG}circle")]
    (low, high), flat = points[:2], points[2:]
    assert low[0] < high[0]
    assert low[1] > high[1], "dearer is higher"
    assert len({y for _, y in flat}) == 1
    assert [text.text for text in panel.iter(f"{SVG}text")][-2:] == ["hits", "computed"]
