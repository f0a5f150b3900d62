"""Writes of an LMDB store: what many callers put at once goes into one transaction, in the store's thread.

A commit is the dear part of a write, whatever it holds, so while one is under way the next gathers.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from mlserve.contracts.store import StoreFault, StoreRefused
from mlserve.stores.lmdb_segment import Damaged, Full, Put
from mlserve.stores.lmdb_segments import Segments
from mlserve.stores.lmdb_thread import DiskThread

logger = logging.getLogger(__name__)

MAX_WAITING_BYTES: Final = 64 * 1024 * 1024
"""What callers may have in line together; a put that comes on top of it is refused."""
ENTRY_COST: Final = 64
"""Bytes that an entry takes besides name and value."""
MAX_COPIES_WAITING: Final = 4_096
COPIES_PER_WRITE: Final = 512


class _Piece:
    """What one caller puts, or as much of it as is written at once."""

    __slots__ = ("done", "puts", "size")

    def __init__(self) -> None:
        self.puts: list[Put] = []
        self.size = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Writer:
    """Made by :class:`~mlserve.stores.lmdb.LmdbStore` for ``segments``; used on the loop. :meth:`close` it once.

    ``clock`` is Unix time in seconds. A task of its own writes as long as there is something to write, so callers that
    leave spoil nobody's batch.
    """

    def __init__(self, segments: Segments, thread: DiskThread, *, clock: Callable[[], float]) -> None:
        self.segments = segments
        self._thread = thread
        self._clock = clock
        self._line: deque[_Piece] = deque()
        self._waiting_bytes = 0
        self._aging: dict[bytes, None] = {}
        self._copying = True
        self._task: asyncio.Task[None] | None = None

    async def put(self, puts: Sequence[Put]) -> None:
        """Returns when all is committed. Raises :class:`StoreFault`, and then some may be stored.

        If the caller is cancelled, what is not under way yet is not written.
        """
        pieces = _cut(puts, self.segments.batch_bytes)
        size = sum(piece.size for piece in pieces)
        if self._line and self._waiting_bytes + size > MAX_WAITING_BYTES:
            raise StoreRefused(f"{self._waiting_bytes} bytes wait to be written already: the disk is too slow")
        self._line.extend(pieces)
        self._waiting_bytes += size
        self._start()
        await asyncio.gather(*(piece.done for piece in pieces))

    def copy(self, names: Iterable[bytes]) -> None:
        """Write what is under ``names`` in the older half into the newer one, so that it outlives the older.

        In the background, with the next batch. Names on top of many others are forgotten: they may be asked for again.
        """
        if self._copying:
            for name in names:
                if len(self._aging) < MAX_COPIES_WAITING:
                    self._aging[name] = None
            self._start()

    async def close(self, timeout_s: float) -> None:
        """Writes what is in line; after ``timeout_s`` it gives up, and those who wait get a :class:`StoreFault`."""
        self._copying = False
        self._aging.clear()
        if self._task is not None:
            try:
                await asyncio.wait([self._task], timeout=timeout_s)
            finally:
                self._task.cancel()
            await asyncio.wait([self._task])
        _refuse(self._line, StoreFault("the store was closed"))
        self._line.clear()

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work_off(), name="lmdb writes")

    async def _work_off(self) -> None:
        while self._line or self._aging:
            pieces = self._next()
            names = list(self._aging)[:COPIES_PER_WRITE]
            for name in names:
                del self._aging[name]
            try:
                await self._write([put for piece in pieces for put in piece.puts], names)
            except asyncio.CancelledError:
                _refuse(pieces, StoreFault("the store was closed"))
                raise
            except StoreFault as error:
                _refuse(pieces, error)
            except Exception as error:  # whatever it is, those who wait must hear of it
                logger.exception("unexpected failure of a write")
                _refuse(pieces, StoreFault(f"unexpected failure of a write: {error}"))
            else:
                for piece in pieces:
                    if not piece.done.done():
                        piece.done.set_result(None)

    def _next(self) -> list[_Piece]:
        """The head of the line, without those whose callers have left."""
        pieces: list[_Piece] = []
        size = 0
        while self._line and (not pieces or size + self._line[0].size <= self.segments.batch_bytes):
            piece = self._line.popleft()
            self._waiting_bytes -= piece.size
            if not piece.done.done():
                pieces.append(piece)
                size += piece.size
        return pieces

    async def _write(self, puts: Sequence[Put], names: Sequence[bytes]) -> None:
        if self.segments.damaged:
            await self._turn()
        write = partial(self.segments.write, puts, names, int(self._clock() * 1000))
        try:
            await self._thread.run(write)
        except Full:
            if not puts:
                self._copying = False  # nothing is dropped only to keep something else a little longer
                self._aging.clear()
                return
            await self._turn()
            await self._thread.run(write)
        except Damaged:
            await self._turn()
            await self._thread.run(write)

    async def _turn(self) -> None:
        """Begin a new half; the older one, and what is damaged, goes."""
        try:
            fresh = await self._thread.run(self.segments.make)
        except OSError as error:
            raise StoreRefused(f"no room for new entries can be made ({error.strerror}): is the disk full?") from error
        dropped = self.segments.take(fresh)
        self._copying = True
        await self._thread.run(partial(self.segments.drop, dropped))


def _cut(puts: Iterable[Put], limit_bytes: int) -> list[_Piece]:
    pieces: list[_Piece] = []
    for put in puts:
        size = len(put[0]) + len(put[1]) + ENTRY_COST
        if not pieces or pieces[-1].size + size > limit_bytes:
            pieces.append(_Piece())
        pieces[-1].puts.append(put)
        pieces[-1].size += size
    return pieces


def _refuse(pieces: Iterable[_Piece], error: StoreFault) -> None:
    for piece in pieces:
        if not piece.done.done():
            piece.done.set_exception(error)
