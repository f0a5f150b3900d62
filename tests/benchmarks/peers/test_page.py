"""What is written into the documentation, and where."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks.peers.page import BEGIN, END, PAGE, write
from benchmarks.peers.plot import plot
from benchmarks.peers.report import report
from benchmarks.peers.results import Results
from benchmarks.peers.servers import PEERS
from benchmarks.peers.workload import CACHED


def results(rounds: int = 3) -> Results:
    """mlserve at 10 us and Triton at 25; LitServe fell out after its first round."""
    found = Results(rounds)
    for name, cost in (("mlserve", 10.0), ("Triton, JSON", 25.0)):
        asked = found.asked(name, CACHED)
        asked.cpu_us.extend([cost] * rounds)
        asked.per_second.extend([1e6 / cost] * rounds)
        asked.latencies_us.extend(float(latency) for latency in range(1, 1001))
    found.asked("LitServe", CACHED).cpu_us.append(1.0)
    found.absent["LitServe"] = "did not start: no such thing"
    return found


def test_only_what_is_between_the_markers_is_replaced(tmp_path: Path) -> None:
    page, drawing = tmp_path / "page.md", tmp_path / "plot.svg"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write("new", "<svg/>", page, drawing)
    write("newer", "<svg/>", page, drawing)
    assert page.read_text() == f"before\n{BEGIN}\n\nnewer\n\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_page_without_its_markers_is_left_alone(text: str, tmp_path: Path) -> None:
    """A guess at where to write would cost somebody their page."""
    page, drawing = tmp_path / "page.md", tmp_path / "plot.svg"
    page.write_text(text)
    with pytest.raises(ValueError, match="should have these lines once"):
        write("new", "<svg/>", page, drawing)
    assert page.read_text() == text
    assert not drawing.exists()


def test_the_page_of_the_repository_has_the_markers() -> None:
    """Somebody who measured for ten minutes must not learn at the end that there is no place for it."""
    text = PAGE.read_text(encoding="utf-8")
    assert (text.count(BEGIN), text.count(END)) == (1, 1)


def test_a_goal_that_was_missed_is_told_so() -> None:
    """A table that hides where a peer wins is an advertisement."""
    (row,) = (line for line in report(results(), PEERS).splitlines() if line.startswith("| Triton, JSON"))
    assert [cell.strip() for cell in row.split("|")][4:8] == ["25.0 us", "2.50", "> 3.00", "under"]


def test_who_fell_out_is_named_and_not_compared() -> None:
    """Half of a server's rounds beside all of ours would compare different hours."""
    text = report(results(), PEERS)
    assert "LitServe is missing: did not start: no such thing." in text
    assert "| LitServe" not in text


def test_percentiles_are_of_all_callers() -> None:
    asked = results().of(CACHED)[0]
    assert [asked.percentile_us(share) for share in (0.5, 0.99, 0.999)] == [501, 991, 1000]


def test_the_plot_is_a_document_with_a_bar_for_each() -> None:
    """A page with a broken picture."""
    drawn = ET.fromstring(plot(results()))
    names = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"mlserve", "Triton, JSON", "10.0", "25.0"} <= set(names)
