"""Standard input by lines and standard output, for threads that must be able to end.

A thread that waits for a person to type, or for ``less`` to be scrolled, waits for ever; the command must end all the
same. So both wait for their file *or* for :class:`Halt`.
"""

from __future__ import annotations

import io
import os
import select
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, Self

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
_CHUNK_BYTES: Final = 64 * 1024


class Line(NamedTuple):
    """``number`` counts from 1; ``text`` is ``None`` for a line longer than may be, ``size`` counts its end too."""

    number: int
    text: bytes | None
    size: int


class Halt:
    """Once set, for good, every reader and writer that knows it ends. Thread-safe."""

    def __init__(self) -> None:
        self._readable, self._writable = os.pipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Only once the threads have ended."""
        os.close(self._readable)
        os.close(self._writable)

    def set(self) -> None:
        os.write(self._writable, b".")

    def fileno(self) -> int:
        """Readable once set."""
        return self._readable


class LineReader:
    """The lines of a file descriptor, as they come. Holds one line that is not whole, and what came with it."""

    def __init__(self, descriptor: int, halt: Halt, *, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._descriptor = descriptor
        self._halt = halt
        self._max_line_bytes = max_line_bytes
        self._buffer = bytearray()
        self._searched = 0
        self._dropped = 0
        self._number = 0
        self._ended = False

    def take(self, most: int, most_bytes: int) -> list[Line]:
        """The next lines: waits for one, then takes what is there, until they are ``most`` or have ``most_bytes``.

        None at the end, and after a halt. Blocks. Raises :class:`OSError`.
        """
        lines: list[Line] = []
        size = 0
        while len(lines) < most and size < most_bytes:
            line = self._next(wait=not lines)
            if line is None:
                break
            lines.append(line)
            size += line.size
        return lines

    def _next(self, *, wait: bool) -> Line | None:
        while True:
            end = self._buffer.find(b"\n", self._searched)
            if end >= 0:
                return self._cut(end, end + 1)
            self._searched = len(self._buffer)
            if self._searched > self._max_line_bytes:
                self._dropped += self._searched
                self._buffer.clear()
                self._searched = 0
            if self._ended:
                return self._cut(self._searched, self._searched) if self._buffer or self._dropped else None
            if not self._fill(wait):
                return None

    def _cut(self, end: int, next_line: int) -> Line:
        overlong = self._dropped or end > self._max_line_bytes
        text = None if overlong else bytes(self._buffer[:end])
        self._number += 1
        line = Line(self._number, text, self._dropped + next_line)
        del self._buffer[:next_line]
        self._searched = self._dropped = 0
        return line

    def _fill(self, wait: bool) -> bool:
        """False if nothing came: no more for now, or a halt."""
        ready, _, _ = select.select([self._descriptor, self._halt.fileno()], [], [], None if wait else 0)
        if not ready or self._halt.fileno() in ready:
            return False
        chunk = os.read(self._descriptor, _CHUNK_BYTES)
        self._buffer += chunk
        self._ended = not chunk
        return True


class HaltingFile(io.RawIOBase):
    """A file descriptor as a file, which ends when it ends or at a halt. The descriptor stays open at the end.

    Reads block; they raise :class:`OSError`.
    """

    def __init__(self, descriptor: int, halt: Halt) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._halt = halt
        self.bytes_read = 0

    def fileno(self) -> int:
        return self._descriptor

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        ready, _, _ = select.select([self._descriptor, self._halt.fileno()], [], [])
        if self._halt.fileno() in ready:
            return 0
        count = os.readv(self._descriptor, [buffer])
        self.bytes_read += count
        return count


class Writer:
    """A file descriptor to write to."""

    def __init__(self, descriptor: int, halt: Halt) -> None:
        self._descriptor = descriptor
        self._halt = halt

    def write(self, content: bytes) -> None:
        """All of ``content``, unless a halt comes before. Blocks. Raises :class:`OSError`, ``BrokenPipeError`` too."""
        rest = memoryview(content)
        while rest:
            stopped, _, _ = select.select([self._halt], [self._descriptor], [])
            if stopped:
                return
            # A pipe that is ready takes this much without blocking; more could block beyond the halt.
            rest = rest[os.write(self._descriptor, rest[: select.PIPE_BUF]) :]
