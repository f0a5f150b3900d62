"""One half of an LMDB store: an environment in a folder of its own, filled once and then dropped as a whole.

LMDB keeps a map of fixed size and, once that is full, refuses even to delete. So a store has two of these.

An entry is ``end of its life (8 bytes, little endian, Unix time in ms) | value`` under its name, in the main database.
The map is for reading only: a write into it would meet a full disk as a signal, not as an error. Reading ahead stays
on, since a page that is not in memory holds up the event loop.

Nothing is synced before the end: a process that is killed loses nothing, for the kernel has the pages; a power cut may
leave a torn tree, which :mod:`mlserve.stores.lmdb_folder` tells.
"""

from __future__ import annotations

import logging
import mmap
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from struct import Struct
from typing import Final

import lmdb

from mlserve.contracts.store import MAX_VALUE_BYTES, StoreFault, StoreRefused

logger = logging.getLogger(__name__)

DATA_FILE: Final = "data.mdb"
MAX_READERS: Final = 8
"""The event loop and the thread read, one transaction each; the rest is room for people with LMDB's own tools."""

_END: Final = Struct("<Q")
_END_BYTES: Final = _END.size
_LONGEST: Final = _END_BYTES + MAX_VALUE_BYTES

_DAMAGE: Final = (
    lmdb.CorruptedError,
    lmdb.CursorFullError,
    lmdb.InvalidError,
    lmdb.PageFullError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
)
"""What LMDB says of a tree that is none, and of an environment that it has given up."""

Put = tuple[bytes, bytes, int]
"""Name, value, end of life in ms."""


class Full(StoreRefused):
    """There is no room for this batch, and nothing of it is stored."""


class Damaged(StoreFault):
    """The files are not what LMDB, or we, left there."""


class Segment:
    """Open from the start; :meth:`close` or :meth:`remove` it once. All calls block but :meth:`read`.

    ``make`` says that the folder is to be new. Else it must be there, and hold no more than ``size_bytes``. Raises
    :class:`Damaged`, :class:`StoreFault` and :class:`OSError`.
    """

    def __init__(self, folder: Path, size_bytes: int, *, make: bool) -> None:
        self.folder = folder
        self.data = folder / DATA_FILE
        self.damage: str | None = None
        """What a read or a write came upon. From then on reads find nothing here, and it should be dropped."""
        if make:
            folder.mkdir(mode=0o700)
        elif not self.data.is_file() or self.data.stat().st_size < 2 * mmap.PAGESIZE:
            raise Damaged(f"{self.data} is cut short")
        try:
            self._env = lmdb.open(
                str(folder),
                map_size=size_bytes,
                mode=0o600,
                sync=False,
                metasync=False,
                writemap=False,
                readahead=True,
                max_readers=MAX_READERS,
                max_spare_txns=2,
            )
        except lmdb.Error as error:
            if make:
                remove(folder)
            # The system's are above 0, such as too many open files. LMDB's own speak of what the file holds, and so
            # does the complaint of arguments, for those do not vary.
            if error.code > 0 and not isinstance(error, lmdb.InvalidParameterError):
                raise StoreFault(
                    f"{self.data} cannot be opened ({error}): is the disk full? If that stays, remove {folder}"
                ) from error
            raise Damaged(f"{self.data}: {error}") from error
        try:
            self._fit(size_bytes)
        except BaseException:
            self._env.close()
            raise

    def read(
        self, names: Sequence[bytes], places: Iterable[int], values: list[bytes | None], now_ms: int
    ) -> Sequence[int]:
        """Sets ``values[place]`` for those ``names[place]`` that live here, and answers the places not found here.

        A name whose time is up, or whose value is too large, is found and has no value: what another segment has under
        it is older. Raises :class:`StoreFault` if LMDB cannot read, but not for damage: nothing is found then.
        """
        if self.damage is not None:
            return list(places)
        missing = []
        try:
            with self._env.begin(buffers=True) as txn:
                get, end_of = txn.get, _END.unpack_from
                for place in places:
                    entry = get(names[place])
                    if entry is None:
                        missing.append(place)
                    elif _END_BYTES <= len(entry) <= _LONGEST and end_of(entry)[0] > now_ms:
                        values[place] = entry[_END_BYTES:].tobytes()
        except _DAMAGE as error:
            self._note_damage(error)
            return [place for place in places if values[place] is None]
        except lmdb.Error as error:
            raise StoreFault(f"{self.data} cannot be read: {error}") from error
        return missing

    def entries(self, names: Iterable[bytes], now_ms: int, limit_bytes: int) -> list[Put]:
        """Those of ``names`` that live here, as :meth:`write` takes them; no more than about ``limit_bytes``."""
        found: list[Put] = []
        size = 0
        try:
            with self._env.begin(buffers=True) as txn:
                for name in names:
                    entry = txn.get(name)
                    if entry is not None and _END_BYTES <= len(entry) <= _LONGEST and size <= limit_bytes:
                        (end_ms,) = _END.unpack_from(entry)
                        if end_ms > now_ms:
                            found.append((name, entry[_END_BYTES:].tobytes(), end_ms))
                            size += len(entry)
        except _DAMAGE as error:
            self._note_damage(error)
        except lmdb.Error as error:
            raise StoreFault(f"{self.data} cannot be read: {error}") from error
        return found

    def write(self, puts: Iterable[Put], copies: Iterable[Put]) -> None:
        """Store all of ``puts``, and of ``copies`` what is not here yet: all or nothing.

        Raises :class:`Full`, :class:`Damaged`, and :class:`StoreRefused` for what the disk says.
        """
        end = _END.pack
        try:
            with self._env.begin(write=True) as txn, txn.cursor() as cursor:
                cursor.putmulti([(name, end(end_ms) + value) for name, value, end_ms in puts])
                cursor.putmulti([(name, end(end_ms) + value) for name, value, end_ms in copies], overwrite=False)
        except lmdb.MapFullError as error:
            raise Full(f"{self.data} is full") from error
        except _DAMAGE as error:
            self._note_damage(error)
            raise Damaged(f"{self.data} is damaged: {error}") from error
        except lmdb.Error as error:
            raise StoreRefused(f"{self.data} cannot be written ({error}): is the disk full?") from error

    def close(self) -> None:
        """Everything is on the disk after this. Raises :class:`StoreFault` if that is not certain."""
        try:
            self._env.sync(True)
        except lmdb.Error as error:
            raise StoreFault(f"{self.data} cannot be written: {error}") from error
        finally:
            self._env.close()

    def remove(self) -> None:
        """Drop it with its files."""
        self._env.close()
        remove(self.folder)

    def _fit(self, size_bytes: int) -> None:
        """Raises :class:`Damaged` if the tree does not fit into the map, and lends the file the pages it says it has.

        A read of a mapped page beyond the end of its file kills the process. Zeros are only damage.
        """
        claimed = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        if claimed > size_bytes:
            raise Damaged(f"{self.data} claims {claimed} bytes, and may have {size_bytes}")
        if self.data.stat().st_size < claimed:
            os.truncate(self.data, claimed)

    def _note_damage(self, error: lmdb.Error) -> None:
        self.damage = str(error)
        logger.warning("%s is damaged (%s): its entries are dropped", self.data, error)


def remove(folder: Path) -> None:
    """Drop the files of a segment that is not open. What cannot be removed is said in the log."""
    try:
        shutil.rmtree(folder)
    except OSError as error:
        logger.warning("%s cannot be removed (%s): it takes room for nothing", folder, error.strerror)
