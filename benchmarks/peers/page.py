"""Where the report stands in the documentation: between two markers, so that all else on the page is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.process import ROOT

PAGE: Final = ROOT / "docs" / "performance.md"
PLOT: Final = ROOT / "docs" / "peers.svg"
BEGIN: Final = "<!-- peers: written by python -m benchmarks.peers --write -->"
END: Final = "<!-- peers: end -->"


def write(text: str, drawing: str, page: Path = PAGE, plot: Path = PLOT) -> None:
    """Put ``text`` between the markers and ``drawing`` beside the page.

    Raises :class:`ValueError`, and writes nothing, if the page has not both markers once and in order.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    old, end, after = rest.partition(END)
    if not begin or not end or BEGIN in old + after or END in before + after:
        raise ValueError(f"{page} should have these lines once each, in this order: {BEGIN} and {END}")
    plot.write_text(drawing, encoding="utf-8")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
