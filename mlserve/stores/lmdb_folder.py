"""Whose an LMDB folder is, and whether what lies in it is as we left it.

LMDB guards neither: opened twice in one process it loses its locks, and it maps any file that begins as its own do. So
a folder is held by one store at a time, by a lock on the file ``mlserve.lock``, and that file notes in JSON

- while the folder is held: ``{"pid": 4711, "boot": "<the kernel's boot id>"}``;
- after an orderly end: ``{"closed": {"<data file>": [size in bytes, mtime in ns]}}``.

Files are to be trusted that have not changed since an orderly end. After any other end they are whole if the system
has been up since, for the kernel had their pages; after a power cut they are not, because nothing is synced meanwhile.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Final

from mlserve.contracts.store import StoreFault

LOCK_FILE: Final = "mlserve.lock"
_NOTE_BYTES: Final = 4096
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

_held: Final[set[tuple[int, int]]] = set()
"""Device and inode of every lock file that this process holds: on some network mounts a process may lock twice."""
_held_lock: Final = Lock()


class Folder:
    """A folder that is held. Made by :meth:`hold`; :meth:`release` it once. All calls block."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        self._before = _note(fd)
        self._boot = _boot_id()

    @classmethod
    def hold(cls, path: Path) -> Folder:
        """Make ``path`` if need be, for this user alone, and hold it.

        Raises :class:`StoreFault` if another store holds it, and :class:`OSError`.
        """
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(fd, path)
        except BaseException:
            os.close(fd)
            raise
        folder = cls(path, fd)
        try:
            folder._write({"pid": os.getpid(), "boot": folder._boot})
        except BaseException:
            folder._let_go()
            raise
        return folder

    def trusts(self, data: Path) -> bool:
        """Whether the file ``data`` is as a store left it that held the folder before."""
        closed = self._before.get("closed")
        if isinstance(closed, dict):
            return bool(closed.get(self._key(data)) == _looks(data))
        return bool(self._boot) and self._before.get("boot") == self._boot

    def release(self, closed: Iterable[Path] | None) -> None:
        """Let others have it. ``closed`` are its files, all on the disk; ``None`` if that is not certain.

        Raises :class:`OSError` if it cannot be noted; the folder is released all the same.
        """
        try:
            if closed is not None:
                self._write({"closed": {self._key(data): _looks(data) for data in closed}})
        finally:
            self._let_go()

    def _key(self, data: Path) -> str:
        return str(data.relative_to(self.path))

    def _write(self, note: dict[str, object]) -> None:
        # Not in one step: what a crash leaves in between is no JSON, and then nothing is trusted.
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, json.dumps(note).encode(), 0)
        os.fsync(self._fd)

    def _let_go(self) -> None:
        with _held_lock:
            _held.discard(_identity(self._fd))
            os.close(self._fd)


def _lock(fd: int, path: Path) -> None:
    with _held_lock:
        if _identity(fd) in _held:
            raise StoreFault(
                f"{path} is in use by another connection of this mlserve: give each lmdb: connection its own folder"
            )
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _note(fd).get("pid", "unknown")
            raise StoreFault(
                f"{path} is in use by another mlserve (process {pid}): stop that one, or give this one its own folder"
            ) from None
        _held.add(_identity(fd))


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def _looks(data: Path) -> list[int] | None:
    try:
        found = data.stat()
    except FileNotFoundError:
        return None
    return [found.st_size, found.st_mtime_ns]


def _note(fd: int) -> dict[str, object]:
    try:
        note = json.loads(os.pread(fd, _NOTE_BYTES, 0))
    except ValueError:
        return {}
    return note if isinstance(note, dict) else {}


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""  # not Linux: without an orderly end nothing is trusted
