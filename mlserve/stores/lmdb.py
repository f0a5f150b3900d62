"""LMDB: a cache on this machine's disk, in this process, that outlives it. No server is needed.

``lmdb:/folder`` or ``lmdb:///folder``, with ``?size_mb=N`` for other than 1024 MiB in all (``StoreOptions.size_bytes``
goes before it). The path is taken letter by letter: ``%20`` is no blank. A folder belongs to one process at a time.

Reads run on the event loop, for a thread costs more than a read does; all else runs in a thread of the store's own.
Entries have two halves of the room, so what is not asked for goes some time after half of it was written anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import parse_qsl

from mlserve.contracts.store import MAX_NAME_BYTES, MAX_VALUE_BYTES, StoreFault, StoreOptions, StoreRefused, Table
from mlserve.stores.lmdb_thread import DiskThread

if TYPE_CHECKING:
    from mlserve.stores.lmdb_segments import Segments
    from mlserve.stores.lmdb_writer import Writer

logger = logging.getLogger(__name__)

DEFAULT_BYTES: Final = 1024 * 1024 * 1024
LAST_S: Final = 1e15
"""No life ends later: some thirty million years from now, in Unix time."""
LEAST_BYTES: Final = 8 * MAX_VALUE_BYTES
"""Less, and a half could not take the largest value beside what a transaction needs."""
FLUSH_S: Final = 2.0
CLOSE_S: Final = 2.0
"""How long the end may take: to write what is in line, then to sync. What hangs longer is left to the thread."""


class LmdbStore:
    """Implements :class:`~mlserve.contracts.store.Store`, and its one table.

    ``clock`` is Unix time in seconds: entries outlive processes.
    """

    name: ClassVar[str] = "lmdb"
    at_once: ClassVar[bool] = True
    parallel_reads: ClassVar[int] = 1

    def __init__(self, options: StoreOptions, *, clock: Callable[[], float] = time) -> None:
        self._options = options
        self._clock = clock
        self._thread: DiskThread | None = None
        self._held: Segments | None = None
        """The thread's: what it opened, though the caller of :meth:`open` may be gone."""
        self._writer: Writer | None = None
        self._closed = False

    async def open(self) -> None:
        """Hold the folder and open, or make, what is in it. Raises :class:`StoreFault`."""
        if self._closed:
            raise StoreFault("the store was closed")
        path, size_bytes = place(self._options)
        if self._thread is None:
            self._thread = DiskThread(f"mlserve-lmdb-{path.name}")
        writer = await self._thread.run(partial(self._open, path, size_bytes, self._thread))
        if self._closed:
            raise StoreFault("the store was closed")
        self._writer = writer

    async def check(self) -> None:
        """One read, of a name that nobody uses."""
        self._opened().segments.read([b"check"], 0)

    def entries(self, namespace: str | None, dataset: str | None) -> Table[bytes, bytes]:
        """All of it: LMDB has no parts."""
        return self

    async def get_many(self, names: Sequence[bytes]) -> Sequence[bytes | None]:
        """As :meth:`Table.get_many <mlserve.contracts.store.Table.get_many>`; never suspends."""
        writer = self._writer or self._opened()
        values, aging = writer.segments.read(names, int(self._clock() * 1000))
        if aging:
            writer.copy(aging)
        return values

    async def put_many(self, items: Sequence[tuple[bytes, bytes, float]]) -> None:
        """As :meth:`Table.put_many <mlserve.contracts.store.Table.put_many>`: returns when all is committed.

        What is too large is refused before anything is stored.
        """
        writer = self._opened()
        for name, value, _ in items:
            if not 1 <= len(name) <= MAX_NAME_BYTES:
                raise StoreRefused(f"a name of {len(name)} bytes, expected 1 to {MAX_NAME_BYTES}")
            if len(value) > MAX_VALUE_BYTES:
                raise StoreRefused(f"a value of {len(value)} bytes, expected no more than {MAX_VALUE_BYTES}")
        now = self._clock()
        await writer.put([(name, value, int(min(now + life_s, LAST_S) * 1000)) for name, value, life_s in items])

    async def close(self) -> None:
        """Writes what is in line, syncs, and gives the folder back, within :data:`FLUSH_S` and :data:`CLOSE_S`."""
        if self._closed:
            return
        self._closed = True
        closing = None
        writer, self._writer = self._writer, None
        try:
            if writer is not None:
                await writer.close(FLUSH_S)
        finally:
            if self._thread is not None:
                closing = self._thread.run(self._close)
                self._thread.end()
        if closing is not None:
            _, late = await asyncio.wait([closing], timeout=CLOSE_S)
            if late:
                logger.warning("%s did not close in %g s: the disk hangs, or is slow", self._options.url, CLOSE_S)

    def _opened(self) -> Writer:
        if self._writer is None:
            raise StoreFault("the store was closed" if self._closed else "the store is not open")
        return self._writer

    # In the thread

    def _open(self, path: Path, size_bytes: int, thread: DiskThread) -> Writer:
        try:
            from mlserve.stores.lmdb_segments import Segments
            from mlserve.stores.lmdb_writer import Writer
        except ImportError as error:
            raise StoreFault(
                f"lmdb: needs the package lmdb, 3 or later ({error}): run  pip install 'lmdb>=3'"
            ) from error
        self._close()
        self._held = Segments.open(path, size_bytes)
        return Writer(self._held, thread, clock=self._clock)

    def _close(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.close()


def place(options: StoreOptions) -> tuple[Path, int]:
    """The folder that a configuration means, and the bytes that it may take. Raises :class:`StoreFault`."""
    text, _, query = options.url.removeprefix("lmdb:").partition("?")
    if text.startswith("//"):
        text = text.removeprefix("//")
    path = Path(text).expanduser()
    if not text or not path.is_absolute():
        raise StoreFault(f"{options.url}: expected lmdb:/folder or lmdb:///folder, with the whole path of a folder")
    size_bytes = DEFAULT_BYTES
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key != "size_mb" or not value.isdecimal():
            raise StoreFault(f"{options.url}: {key}={value} means nothing here; there is size_mb=<a whole number>")
        size_bytes = int(value) * 1024 * 1024
    if options.size_bytes is not None:
        size_bytes = options.size_bytes
    if size_bytes < LEAST_BYTES:
        raise StoreFault(f"{path}: a size of {size_bytes} bytes; the least is {LEAST_BYTES} (size_mb=8)")
    return path, size_bytes
