"""The fenced blocks and tables of a Markdown page, for tests that keep pages true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (?P<name>[\w.]+\.(?:py|yaml))$")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. ``line`` is that of its fence; ``kind`` what stands behind it, such as ``yaml kubernetes``."""

    page: Path
    line: int
    kind: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that the block is, if its first line says so: ``# delivery.py``."""
        first = _FILE.match(self.text.partition("\n")[0])
        return first["name"] if first else None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True, slots=True)
class Step:
    """One ``$ command`` of a console block, and the lines that follow it."""

    block: Block
    command: str
    expected: str


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of ``page`` in order."""
    text = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        yield Block(page, text.count("\n", 0, match.start()) + 1, match["info"].strip(), match["text"])


def steps(page: Path) -> Iterator[Step]:
    """The commands of the console blocks of ``page``, in order."""
    for block in blocks(page):
        if block.kind == "console":
            for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                command, _, expected = part.partition("\n")
                yield Step(block, command, expected)


def prose(page: Path) -> str:
    """The text of ``page`` without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def tables(page: Path) -> Iterator[tuple[str, list[list[str]]]]:
    """The heading above each table of ``page``, and the table's rows as cells, its head first."""
    heading, rows = "", list[list[str]]()
    for line in [*prose(page).splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            yield heading, [row for row in rows if not re.fullmatch(r"-+", row[0])]
            rows = []
        if line.startswith("#"):
            heading = line.lstrip("# ")


def code(cell: str) -> list[str]:
    """What stands in backticks in ``cell``."""
    return re.findall(r"`([^`]+)`", cell)


def rows_of(page: Path, first_column: str) -> dict[str, list[str]]:
    """The rows of those tables of ``page`` whose head begins with ``first_column``: first cell to the others."""
    found: dict[str, list[str]] = {}
    for _, (head, *rows) in tables(page):
        if head[0] == first_column:
            found |= {row[0]: row[1:] for row in rows}
    return found
