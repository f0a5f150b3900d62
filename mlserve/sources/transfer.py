"""Moving bytes of files into a private folder, counting and hashing every one on the way."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlserve.errors import SourceError
from mlserve.sources.artifact import FileStat
from mlserve.sources.place import Beat, Place, Readable

_log = logging.getLogger("mlserve.sources.fetch")  # the name of the whole, for those who filter by it
_CHUNK: Final = 1024 * 1024
_REPORT_EVERY_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class FileHash:
    """Size in bytes and SHA-256 of one copied file."""

    size: int
    sha256: bytes


class Meter:
    """Counts bytes against a bound, passes on signs of life, and tells the log how a long copy is doing.

    ``total`` is what is expected, in bytes, 0 if unknown. Raises :class:`SourceError` at the first byte over
    ``max_bytes``, whatever was announced.
    """

    def __init__(
        self, what: str, *, total: int, max_bytes: int, beat: Beat, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what = what
        self._total = total
        self._max_bytes = max_bytes
        self._beat = beat
        self._clock = clock
        self._count = 0
        self._reported = clock()

    def add(self, size: int) -> None:
        """``size`` more bytes are about to be written."""
        self._beat()
        self._count += size
        if self._count > self._max_bytes:
            raise SourceError(f"{self._what}: more than {self._max_bytes} bytes; raise MaxBytes if that is right")
        if self._clock() - self._reported >= _REPORT_EVERY_S:
            self._reported = self._clock()
            of = f" of {self._total}" if self._total else ""
            _log.info("%s: %d%s bytes so far", self._what, self._count, of)


def copy_files(place: Place, files: Sequence[FileStat], into: Path, meter: Meter) -> dict[str, FileHash]:
    """Copy ``files`` below the folder ``into``, hashes by name.

    Raises :class:`SourceError` if one is longer or shorter than it was listed: it moved, or the transfer was cut.
    """
    hashes = {}
    for file in files:
        with place.open(file.name) as reader:
            copied = hashes[file.name] = copy_stream(reader, into / file.name, meter)
        if file.size not in (-1, copied.size):
            raise SourceError(
                f"{file.name} gave {copied.size} bytes instead of {file.size}: it moved, or was cut short"
            )
    return hashes


def copy_stream(reader: Readable, target: Path, meter: Meter) -> FileHash:
    """Write what ``reader`` gives to ``target``, a new file that only we can read; missing folders are made."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    sha256, size = hashlib.sha256(), 0
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(handle, "wb", buffering=0) as writer:
        while chunk := reader.read(_CHUNK):
            meter.add(len(chunk))
            sha256.update(chunk)
            view = memoryview(chunk)
            while view:
                view = view[writer.write(view) :]
            size += len(chunk)
    return FileHash(size, sha256.digest())


def digest(files: Mapping[str, FileHash]) -> str:
    """One SHA-256, in hex, over the sorted names, sizes and contents of ``files``."""
    whole = hashlib.sha256()
    for name in sorted(files):
        encoded = name.encode(errors="surrogateescape")
        whole.update(len(encoded).to_bytes(8, "big") + encoded)
        whole.update(files[name].size.to_bytes(8, "big") + files[name].sha256)
    return whole.hexdigest()
