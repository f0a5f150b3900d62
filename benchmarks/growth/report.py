"""The results as Markdown: a table for each axis, and one of what models cost besides answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from benchmarks.figure import number, table
from benchmarks.growth.holding import Holding
from benchmarks.growth.results import Grown


def report(results: Mapping[str, Sequence[Grown]], holdings: Sequence[Holding]) -> str:
    """``results`` by the title of their axis."""
    parts = [_axis(title, lines) for title, lines in results.items()]
    if holdings:
        parts.append(_models(holdings))
    return "\n\n".join(parts)


def _axis(title: str, lines: Sequence[Grown]) -> str:
    counts = sorted({count for line in lines for count in line.cpu_us})
    head = [title, *(f"{count:,}" for count in counts), "grows by", "at most", "steepest", ""]
    return table([row for line in lines for row in _rows(line, counts)], head)


def _rows(line: Grown, counts: Sequence[int]) -> Iterator[list[str]]:
    measured = [count in line.cpu_us for count in counts]
    pairs = list(zip(counts, measured, strict=True))
    costs = [f"{number(line.cost(count))} us" if known else "" for count, known in pairs]
    rates = [f"{number(line.rate(count))}/s" if known else "" for count, known in pairs]
    verdict = "ok" if line.well else "over"
    yield [
        f"{line.name}: CPU each",
        *costs,
        f"n^{line.exponent:.2f}",
        f"n^{line.limit:.2f}",
        f"n^{line.steepest:.2f}",
        verdict,
    ]
    yield [f"{line.name}: answers", *rates, "", "", "", ""]


def _models(holdings: Sequence[Holding]) -> str:
    counts = sorted({one.models for one in holdings})
    by_count = {count: [one for one in holdings if one.models == count] for count in counts}
    least = min(by_count)
    alone = median(one.memory_bytes for one in by_count[least])
    rows = []
    for count, some in by_count.items():
        memory = median(one.memory_bytes for one in some)
        more = number((memory - alone) / (count - least) / 1e3) + " kB" if count > least else ""
        rows.append(
            [
                f"{count:,}",
                f"{number(median(one.start_s for one in some))} s",
                f"{number(memory / 1e6)} MB",
                more,
                f"{number(median(one.scrape_s for one in some) * 1e3)} ms",
                f"{number(median(one.others_waited_s for one in some) * 1e3)} ms",
            ]
        )
    head = ("models", "start to ready", "memory", "each further model", "page of metrics", "others wait for it")
    return table(rows, head)
