"""The folder that local copies of models live in, and the clean-up after processes that had no chance to.

Each process makes one folder and holds a lock on a file in it. Whoever starts next removes the folders whose lock is
free: their owner is gone, however it went (``kill -9``, out of memory), and its copies would fill the disk in time.
"""

from __future__ import annotations

import fcntl
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

_PREFIX: Final = "mlserve-models-"
_LOCK: Final = ".lock"


@contextmanager
def work_dir(parent: Path | None = None) -> Iterator[Path]:
    """A private folder (mode 0700) under ``parent`` or the system's temporary one, removed at the end. Blocks."""
    parent = parent or Path(tempfile.gettempdir())
    _remove_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            with (folder / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
                logger.info("removed %s, left behind by a process that is gone", folder)
        except OSError:
            continue  # in use, another user's, or just being made
