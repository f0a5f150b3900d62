"""The two halves of an LMDB store: writes go to the newer, and when that is full the older makes way for a new one.

Their folders are numbered (``segment-0000000007``), so the names alone say which is the newer. A crash between two
steps of a change leaves one folder too many or too few, never a wrong order.

What changes the halves runs in the store's thread; the event loop reads, and takes a change over by :meth:`take`, when
no read is under way. So no lock is needed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from mlserve.contracts.store import StoreFault
from mlserve.stores.lmdb_folder import Folder
from mlserve.stores.lmdb_segment import DATA_FILE, Damaged, Put, Segment, remove

logger = logging.getLogger(__name__)

_NAME: Final = re.compile(r"segment-(\d{10})")


class Segments:
    """Made by :meth:`open`; :meth:`close` it once."""

    def __init__(self, folder: Folder, segment_bytes: int) -> None:
        """Opens what is in ``folder``, which it does not release on failure. Blocks."""
        self._folder = folder
        self._bytes = segment_bytes
        self._opened: list[Segment] = []
        try:
            self._newest = self._adopt()
            if not self._opened:
                self.make()
        except BaseException:
            self._close()
            raise
        self._all: tuple[Segment, ...] = tuple(self._opened)

    @classmethod
    def open(cls, path: Path, size_bytes: int) -> Segments:
        """Those in the folder ``path``, which it holds from now on. Blocks.

        Raises :class:`StoreFault` with what can be done.
        """
        try:
            folder = Folder.hold(path)
            try:
                return cls(folder, size_bytes // 2)
            except BaseException:
                folder.release(None)
                raise
        except OSError as error:
            raise StoreFault(
                f"{path} cannot be used ({error.strerror}): lmdb: needs a folder that this user may write to"
            ) from error

    # On the event loop

    def read(self, names: Sequence[bytes], now_ms: int) -> tuple[list[bytes | None], list[bytes]]:
        """The values under ``names``, and those names whose values only the older half has.

        Raises :class:`StoreFault`.
        """
        values: list[bytes | None] = [None] * len(names)
        aging: list[bytes] = []
        places: Sequence[int] = range(len(names))
        for age, segment in enumerate(self._all):
            missing = segment.read(names, places, values, now_ms)
            if age:
                aging.extend(names[place] for place in places if values[place] is not None)
            if not missing:
                break
            places = missing
        return values, aging

    @property
    def damaged(self) -> bool:
        """Whether a half came upon damage: one more should be made, so that it can be dropped."""
        return any(segment.damage for segment in self._all)

    def take(self, fresh: Segment) -> list[Segment]:
        """Write to ``fresh`` from now on. Answers those to drop: all but it and the newest that is sound."""
        kept = [segment for segment in self._all if not segment.damage][:1]
        dropped = [segment for segment in self._all if segment not in kept]
        self._all = (fresh, *kept)
        return dropped

    # In the thread

    def make(self) -> Segment:
        """A new one, for :meth:`take`. Raises :class:`StoreFault` and :class:`OSError`."""
        fresh = Segment(self._path(self._newest + 1), self._bytes, make=True)
        self._newest += 1
        self._opened.insert(0, fresh)
        return fresh

    def drop(self, segments: Iterable[Segment]) -> None:
        """Close and remove them. Nobody may read them any more."""
        for segment in segments:
            self._opened.remove(segment)
            segment.remove()

    def write(self, puts: Sequence[Put], names: Iterable[bytes], now_ms: int) -> None:
        """Store ``puts`` in the newer half, and of ``names`` what only the older one has. As :meth:`Segment.write`."""
        copies = [copy for segment in self._all[1:] for copy in segment.entries(names, now_ms, self.batch_bytes)]
        self._all[0].write(puts, copies)

    @property
    def batch_bytes(self) -> int:
        """How much to write at once: what a half has room for several times over, and is soon done."""
        return min(2 * 1024 * 1024, self._bytes // 8)

    def close(self) -> None:
        """All is on the disk after this, and others may have the folder. What fails is said in the log, not raised."""
        whole = self._close()
        try:
            self._folder.release([segment.data for segment in self._opened] if whole else None)
        except OSError as error:
            logger.warning("%s: %s; the next start will begin afresh", self._folder.path, error.strerror)

    def _close(self) -> bool:
        whole = True
        for segment in self._opened:
            try:
                segment.close()
            except StoreFault as error:
                logger.warning("%s; the next start will begin afresh", error)
                whole = False
        return whole

    def _adopt(self) -> int:
        """Opens the two newest halves that are sound, and removes all others. Answers the highest number there was."""
        matches = [_NAME.fullmatch(child.name) for child in self._folder.path.iterdir()]
        numbers = sorted((int(match[1]) for match in matches if match), reverse=True)
        for number in numbers:
            path = self._path(number)
            if len(self._opened) == 2:
                remove(path)
                continue
            try:
                if not self._folder.trusts(path / DATA_FILE):
                    raise Damaged(f"{path} was not closed in order, or changed since")
                self._opened.append(Segment(path, self._bytes, make=False))
            except Damaged as error:
                logger.warning("%s: it is dropped, and its entries with it", error)
                remove(path)
        return max(numbers, default=0)

    def _path(self, number: int) -> Path:
        return self._folder.path / f"segment-{number:010d}"
