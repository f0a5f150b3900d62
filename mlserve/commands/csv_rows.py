"""CSV with a header, each line as the query of a GET: cells are read by the inputs' types, empty ones left out."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlencode

from mlserve.commands.file_row import FileRow, RowRequest
from mlserve.errors import SetupError
from mlserve.values import shown


class CsvRows:
    """An iterator over the rows of ``lines``, which are numbered, for a model that takes ``inputs``.

    Raises :class:`SetupError` for a header that names none of them, or two columns alike. Lines that are not UTF-8
    hold surrogate escapes: the row that has them is refused, not the file.
    """

    def __init__(self, lines: Iterable[tuple[int, str]], inputs: Sequence[str]) -> None:
        self._numbers: list[int] = []
        """Of the lines that the record at hand takes: a cell in quotes may hold line breaks."""
        self._records = csv.reader(self._texts(lines), strict=True)
        try:
            self._header = next(self._records)
        except csv.Error as error:
            raise SetupError(f"expected JSON objects, or CSV; its header is not CSV: {error}") from None
        if not set(self._header) & set(inputs):
            raise SetupError(
                "expected JSON objects, or a header, separated by commas, that names inputs of the model "
                f"({', '.join(inputs)}); it begins with {shown(','.join(self._header))}"
            )
        twice = next((name for name in self._header if self._header.count(name) > 1), None)
        if twice is not None:
            raise SetupError(f"two columns are called {twice!r}: rename one of them")
        self._places = [(place, name) for place, name in enumerate(self._header) if name in inputs]
        self.left_out = [name for name in self._header if name not in inputs]
        """Columns that are no inputs."""

    def __iter__(self) -> Iterator[FileRow]:
        return self

    def __next__(self) -> FileRow:
        cells: list[str] = []
        while not cells:  # a blank line is no row
            self._numbers.clear()
            try:
                cells = next(self._records)
            except csv.Error as error:
                return FileRow(self._numbers[0], None, f"not CSV: {error}")
        line = self._numbers[0]
        if len(cells) != len(self._header):
            return FileRow(line, None, f"{len(cells)} cells, expected {len(self._header)} as in the header")
        try:
            query = urlencode([(name, cells[place]) for place, name in self._places if cells[place]], errors="strict")
        except UnicodeEncodeError:
            return FileRow(line, None, "not UTF-8")
        return FileRow(line, RowRequest("GET", query=query))

    def _texts(self, lines: Iterable[tuple[int, str]]) -> Iterator[str]:
        for number, text in lines:
            self._numbers.append(number)
            yield text
