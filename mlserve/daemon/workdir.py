"""The folders that local copies of models live in, and the clean-up after processes that had no chance to.

Each process makes one folder below each place it copies to, and holds a lock on a file in it. Whoever starts next
removes the folders whose lock is free: their owner is gone, however it went (``kill -9``, out of memory), and its
copies would fill the disk in time.
"""

from __future__ import annotations

import fcntl
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from mlserve.config.load import resolve_url
from mlserve.config.location import is_remote
from mlserve.errors import SourceError

logger = logging.getLogger(__name__)

_PREFIX: Final = "mlserve-models-"
_LOCK: Final = ".lock"


class WorkDirs:
    """The folders of one process: one below each ``Location``, made when it is first asked for. Thread-safe."""

    def __init__(self) -> None:
        self._made: dict[Path, Path] = {}
        self._owned = ExitStack()
        self._lock = Lock()

    def below(self, location: str | None, base: str) -> Path:
        """The folder below ``location``, relative to ``base``, or below the system's temporary folder. Blocks.

        Raises :class:`SourceError` if none can be made there.
        """
        place = tempfile.gettempdir() if location is None else resolve_url(base, location)
        if is_remote(place):
            raise SourceError(f"Location {location!r} is a URL: local copies need a folder of this machine")
        parent = Path(place.removeprefix("file://"))
        with self._lock:
            if parent not in self._made:
                try:
                    self._made[parent] = self._owned.enter_context(work_dir(parent))
                except OSError as error:
                    raise SourceError(
                        f"no local copies can be made in {parent} (Location): {error.strerror}"
                    ) from error
            return self._made[parent]

    def close(self) -> None:
        """Removes all of them with what they hold. Blocks."""
        with self._lock:
            self._made.clear()
            self._owned.close()


@contextmanager
def work_dir(parent: Path) -> Iterator[Path]:
    """A private folder (mode 0700) under ``parent``, which is made if need be; removed at the end. Blocks."""
    parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(parent)
    # Locked under another name: with the usual one, a process that starts now could take it for abandoned.
    unlocked = Path(tempfile.mkdtemp(prefix=".mlserve-", dir=parent))
    folder = parent / f"{_PREFIX}{unlocked.name.removeprefix('.mlserve-')}"
    try:
        with (unlocked / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unlocked.rename(folder)
            yield folder
    finally:
        shutil.rmtree(unlocked, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            with (folder / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
                logger.info("removed %s, left behind by a process that is gone", folder)
        except OSError:
            continue  # in use, another user's, or not ours at all
