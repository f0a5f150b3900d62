"""Lines come whole and counted however they are cut on their way, and no thread waits beyond a halt."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.commands.pipes import Halt, LineReader, Writer


class Pipe:
    """Both ends of a pipe."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self._open = {self.read_end, self.write_end}

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            os.write(self.write_end, piece)

    def close(self, *ends: int) -> None:
        for end in ends or list(self._open):
            if end in self._open:
                self._open.remove(end)
                os.close(end)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture
def halt() -> Iterator[Halt]:
    with Halt() as halt:
        yield halt


@given(st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b""))), st.booleans(), st.data())
def test_lines_are_whole_however_they_come(lines: list[bytes], ended: bool, data: st.DataObject) -> None:
    """The pieces that the kernel makes must not show; the last line may lack its end."""
    text = b"".join(line + b"\n" for line in lines)
    if not ended:
        text = text.removesuffix(b"\n")
        lines = lines[:-1] if lines and not lines[-1] else lines
    pipe = Pipe()
    try:
        with Halt() as halt:
            reader, taken, rest = LineReader(pipe.read_end, halt), [], text
            while rest:
                cut = data.draw(st.integers(1, len(rest)))
                pipe.send(rest[:cut])
                complete, rest = b"\n" in rest[:cut], rest[cut:]
                if complete:
                    taken += reader.take(100, 10**6)
            pipe.close(pipe.write_end)
            while more := reader.take(100, 10**6):
                taken += more
    finally:
        pipe.close()
    assert [line.text for line in taken] == lines
    assert [line.number for line in taken] == list(range(1, len(lines) + 1))
    assert sum(line.size for line in taken) == len(text)


def test_takes_what_is_there_and_no_more_than_asked(pipe: Pipe, halt: Halt) -> None:
    """A line that a person types must not wait for ninety-nine others."""
    reader = LineReader(pipe.read_end, halt)
    pipe.send(b"a\nb\nc\nd")
    assert [line.text for line in reader.take(2, 100)] == [b"a", b"b"]
    assert [line.text for line in reader.take(2, 100)] == [b"c"]
    pipe.send(b"\nlonger\ne\n")
    assert [line.text for line in reader.take(9, 8)] == [b"d", b"longer"]
    assert [line.text for line in reader.take(9, 8)] == [b"e"]


def test_a_line_without_end_fills_no_memory_and_harms_no_other(pipe: Pipe, halt: Halt) -> None:
    reader = LineReader(pipe.read_end, halt, max_line_bytes=10)
    pipe.send(b"0123456789\n", b"01234567890\n")
    assert [(line.number, line.text) for line in reader.take(9, 100)] == [(1, b"0123456789"), (2, None)]
    for _ in range(50):
        pipe.send(b"x" * 30)
        reader._fill(wait=True)
        assert reader._next(wait=False) is None
        assert len(reader._buffer) <= 10 + 30
    pipe.send(b"\nnext\n")
    last, following = reader.take(9, 10**6)
    assert (last.text, last.size, following.text) == (None, 1501, b"next")


def test_an_endless_last_line_is_told_too(pipe: Pipe, halt: Halt) -> None:
    reader = LineReader(pipe.read_end, halt, max_line_bytes=10)
    pipe.send(b"x" * 30)
    pipe.close(pipe.write_end)
    assert [(line.text, line.size) for line in reader.take(9, 100)] == [(None, 30)]
    assert reader.take(9, 100) == []


def test_reads_files_as_well(tmp_path: Path, halt: Halt) -> None:
    path = tmp_path / "rows"
    path.write_bytes(b"a\nb")
    with path.open("rb") as file:
        assert [line.text for line in LineReader(file.fileno(), halt).take(9, 100)] == [b"a", b"b"]


def test_a_reader_that_waits_ends_at_a_halt(pipe: Pipe, halt: Halt) -> None:
    """Ctrl-C would otherwise wait for the next line."""
    taken: list[object] = []
    thread = threading.Thread(target=lambda: taken.append(LineReader(pipe.read_end, halt).take(1, 1)))
    thread.start()
    halt.set()
    thread.join(5)
    assert (thread.is_alive(), taken) == (False, [[]])


def test_a_writer_that_nobody_reads_from_ends_at_a_halt(pipe: Pipe, halt: Halt) -> None:
    """``less`` may stand on its first page for an hour."""
    writer = Writer(pipe.write_end, halt)
    thread = threading.Thread(target=writer.write, args=(b"x" * 10_000_000,))
    thread.start()
    assert os.read(pipe.read_end, 1) == b"x"
    halt.set()
    thread.join(5)
    assert not thread.is_alive()


def test_all_is_written_in_order(pipe: Pipe, halt: Halt) -> None:
    content = os.urandom(1_000_000)
    thread = threading.Thread(target=Writer(pipe.write_end, halt).write, args=(content,))
    thread.start()
    read = b""
    while len(read) < len(content):
        read += os.read(pipe.read_end, 65536)
    thread.join(5)
    assert read == content


def test_a_reader_that_has_left_is_told(pipe: Pipe, halt: Halt) -> None:
    pipe.close(pipe.read_end)
    with pytest.raises(BrokenPipeError):
        Writer(pipe.write_end, halt).write(b"x")
