"""What readers of the comparison are told."""

from __future__ import annotations

import xml.etree.ElementTree as ET

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
