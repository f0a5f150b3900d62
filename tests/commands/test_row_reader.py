"""A file of rows is read as it is: JSON or CSV, packed or not, from a disk or a pipe."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlserve.commands import row_reader as module
from mlserve.commands.pipes import Halt, HaltingFile
from mlserve.commands.row_reader import RowReader
from mlserve.errors import SetupError

Open = Callable[[bytes], RowReader]

JSON = b'{"x":1}\n\n  {"x": 2}\n[3]'
BODIES = [(1, b'{"x":1}\n'), (3, b'  {"x": 2}\n'), (4, b"[3]")]


@pytest.fixture
def halt() -> Iterator[Halt]:
    with Halt() as halt:
        yield halt


@pytest.fixture
def reader(tmp_path: Path, halt: Halt) -> Iterator[Open]:
    """A reader of a file with that content, for a model that takes ``x`` and ``w``."""
    descriptors = []

    def open_(content: bytes) -> RowReader:
        (tmp_path / "rows").write_bytes(content)
        descriptors.append(os.open(tmp_path / "rows", os.O_RDONLY))
        return RowReader(HaltingFile(descriptors[-1], halt), "rows", ["x", "w"])

    yield open_
    for descriptor in descriptors:
        os.close(descriptor)


def bodies(reader: RowReader) -> list[tuple[int, bytes]]:
    return [(row.line, row.request.body) for row in reader.take(100) if row.request is not None]


@pytest.mark.parametrize("before", [b"", b"\n \r\n", b"\xef\xbb\xbf"], ids=["plain", "blank lines", "mark"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["as is", "gzip"])
def test_json_is_the_bodies_of_posts(reader: Open, before: bytes, pack: Callable[[bytes], bytes]) -> None:
    """Whatever ``eval`` takes or refuses in a body, it takes or refuses here."""
    lines = before.count(b"\n")
    first, *rest = [(line + lines, body) for line, body in BODIES]
    expected = [(first[0], (b"" if lines else before) + first[1]), *rest]
    assert bodies(reader(pack(before + JSON))) == expected


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["as is", "gzip"])
def test_csv_is_the_queries_of_gets(reader: Open, pack: Callable[[bytes], bytes]) -> None:
    """With the mark that spreadsheets write, too: it is no part of the first column's name."""
    found = reader(pack(b"\xef\xbb\xbfx,w,id\r\n1,a b,7\r\n2,,8\r\n"))
    rows = found.take(100)
    assert [row.request.query for row in rows if row.request is not None] == ["x=1&w=a+b", "x=2"]
    assert found.left_out == ["id"]


def test_takes_no_more_than_asked(reader: Open) -> None:
    """A file larger than memory is read by and by; how far is told in bytes of the file."""
    content = b"".join(b'{"x":%d}\n' % x for x in range(100_000))
    found = reader(content)
    assert len(found.take(3)) == 3
    assert found.bytes_read < 100_000
    assert sum(iter(lambda: len(found.take(30_000)), 0)) == 99_997
    assert found.bytes_read == len(content)


@pytest.mark.parametrize("content", [b"", b"\n\n", gzip.compress(b"")], ids=["empty", "blank", "packed"])
def test_nothing_is_no_rows(reader: Open, content: bytes) -> None:
    """And no error: yesterday nobody asked."""
    assert reader(content).take(5) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(JSON)[:-9], "rows cannot be read: Compressed file ended before"),
        (b"\x1f\x8bnonsense", "rows cannot be read: "),
        (b"a;b\n", "rows: expected JSON objects, or a header"),
        (b'{"x": 11111111}\n', "rows: line 1 is longer than 9 bytes"),
    ],
    ids=["cut short", "no gzip", "no header", "long line"],
)
def test_a_file_of_no_use_is_told(reader: Open, content: bytes, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name and the reason, with no traceback."""
    if "longer" in words:
        monkeypatch.setattr(module, "MAX_LINE_BYTES", 9)
    with pytest.raises(SetupError) as caught:
        reader(content).take(100)
    assert words in str(caught.value)


def test_a_folder_is_told(tmp_path: Path, halt: Halt) -> None:
    """A person forgot the file's name."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(SetupError, match="rows cannot be read: Is a directory"):
            RowReader(HaltingFile(descriptor, halt), "rows", ["x"]).take(1)
    finally:
        os.close(descriptor)


def test_a_halt_ends_a_wait_for_rows(halt: Halt) -> None:
    """A thread that waits for a person to type would keep the command from ending."""
    read_end, write_end = os.pipe()
    try:
        os.write(write_end, b'{"x":1}\n{"x"')
        found: list[list[tuple[int, bytes]]] = []
        reader = RowReader(HaltingFile(read_end, halt), "rows", ["x"])
        thread = threading.Thread(target=lambda: found.append(bodies(reader)))
        thread.start()
        halt.set()
        thread.join(10)
        assert not thread.is_alive()
    finally:
        os.close(write_end)
        os.close(read_end)
