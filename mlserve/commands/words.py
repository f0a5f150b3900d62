"""Shapes, tables and the console as ``check`` and ``inspect`` show them."""

from __future__ import annotations

import os
import sys
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from mlserve.types import Serving, Shape

SERVED_BRIEFLY: Final = {
    Serving.ROWS: "by rows",
    Serving.ONE: "by rows, one a run",
    Serving.WHOLE: "a request is one run",
}

WIDTH: Final = 120


def row_words(shape: Shape | None) -> str:
    """The shape of one row: ``scalar``, ``[8, 8]``, ``[any, 3]``, ``any shape``."""
    if shape is None:
        return "any shape"
    return "[" + ", ".join("any" if dim is None else str(dim) for dim in shape) + "]" if shape else "scalar"


def wide_console() -> Console:
    """Standard output; as wide as the terminal, or as a log that nobody wants wrapped at 80 columns."""
    given = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if given else WIDTH)


def plain_table(*columns: str) -> Table:
    """A table that folds what is too wide, because a name cut short is of no use to anybody."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
