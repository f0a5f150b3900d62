"""Where a report stands in the documentation: between two markers, so that all else on the page is left alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.process import ROOT

PAGE: Final = ROOT / "docs" / "performance.md"


@dataclass(frozen=True, slots=True)
class Section:
    """The part of ``page`` that the benchmark ``name`` writes, and the drawing beside the page."""

    name: str
    page: Path = PAGE

    @property
    def begin(self) -> str:
        return f"<!-- {self.name}: written by python -m benchmarks {self.name} --write -->"

    @property
    def end(self) -> str:
        return f"<!-- {self.name}: end -->"

    @property
    def plot(self) -> Path:
        return self.page.with_name(f"{self.name}.svg")

    def write(self, text: str, drawing: str) -> None:
        """Put ``text`` between the markers and ``drawing`` beside the page.

        Raises :class:`ValueError`, and writes nothing, if the page has not both markers once and in order.
        """
        before, begin, rest = self.page.read_text(encoding="utf-8").partition(self.begin)
        old, end, after = rest.partition(self.end)
        if not begin or not end or self.begin in old + after or self.end in before + after:
            raise ValueError(
                f"{self.page} should have these lines once each, in this order: {self.begin} and {self.end}"
            )
        self.plot.write_text(drawing, encoding="utf-8")
        self.page.write_text(f"{before}{self.begin}\n\n{text}\n\n{self.end}{after}", encoding="utf-8")
