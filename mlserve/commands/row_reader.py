"""Rows from a file: JSON lines, or CSV with a header, told apart by how it begins; compressed by gzip or not."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from gzip import GzipFile
from io import BufferedReader
from itertools import chain, islice
from typing import Final, Protocol

from mlserve.commands.csv_rows import CsvRows
from mlserve.commands.file_row import FileRow, RowRequest
from mlserve.commands.pipes import MAX_LINE_BYTES, HaltingFile
from mlserve.errors import SetupError

_GZIP: Final = b"\x1f"
"""How gzip begins, and no text does."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

_Lines = Iterator[tuple[int, bytes]]


class _Stream(Protocol):
    def readline(self, size: int, /) -> bytes: ...


class RowReader:
    """The rows of ``file``, called ``name`` in errors, for a model that takes ``inputs``.

    Holds no more than it answers. Its methods block; one thread at a time.
    """

    def __init__(self, file: HaltingFile, name: str, inputs: Sequence[str]) -> None:
        self.left_out: Sequence[str] = ()
        """Columns of a CSV that are no inputs; known after the first :meth:`take`."""
        self._file = file
        self._name = name
        self._inputs = inputs
        self._rows = self._read()

    @property
    def bytes_read(self) -> int:
        """Of the file as it lies there."""
        return self._file.bytes_read

    def take(self, most: int) -> list[FileRow]:
        """The next rows, ``most`` but at the end; none after it. Raises :class:`SetupError` for a file of no use."""
        try:
            return list(islice(self._rows, most))
        except SetupError as error:
            raise SetupError(f"{self._name}: {error}") from None
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            raise SetupError(f"{self._name} cannot be read: {reason}") from error

    def _read(self) -> Iterator[FileRow]:
        plain = BufferedReader(self._file)
        is_packed = plain.peek(1).startswith(_GZIP)
        lines = _lines(GzipFile(fileobj=plain) if is_packed else plain)
        first = next(((number, line) for number, line in lines if line.strip(_BYTE_ORDER_MARK + b" \t\r\n")), None)
        if first is None:
            return
        all_lines = chain([first], lines)
        if first[1].removeprefix(_BYTE_ORDER_MARK).lstrip().startswith(b"{"):
            yield from _json_rows(all_lines)
        else:
            rows = CsvRows(_texts(all_lines), self._inputs)
            self.left_out = rows.left_out
            yield from rows


def _lines(stream: _Stream) -> _Lines:
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise SetupError(f"line {number} is longer than {MAX_LINE_BYTES} bytes")
        yield number, line


def _json_rows(lines: Iterable[tuple[int, bytes]]) -> Iterator[FileRow]:
    return (FileRow(number, RowRequest("POST", body=line)) for number, line in lines if not line.isspace())


def _texts(lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, str]]:
    for number, line in lines:
        yield number, line.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape")
