"""Unpacking zip and tar files that may have been made to hurt.

Nothing a header says is believed: names are checked, bytes are counted as they come out, and the memory a header can
make the library ask for is bounded. Only plain files are written, each by us, with no links, owners or modes: so
there is nothing left for tarfile's own ``filter`` to do.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, Literal, cast

from mlserve.errors import SourceError
from mlserve.sources.names import checked_name, is_hidden
from mlserve.sources.place import MAX_FILES, Readable
from mlserve.sources.transfer import FileHash, Meter, copy_stream

Kind = Literal["zip", "tar"]

_SUFFIXES: Final[dict[str, Kind]] = {".zip": "zip", ".tar": "tar", ".tar.gz": "tar", ".tgz": "tar"}
_MAX_READ: Final = 16 * 1024 * 1024
"""The most that one read of the libraries may ask for: a central directory or a PAX header beyond that is a trap."""
_DAMAGED: Final = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, lzma.LZMAError, zlib.error,
    EOFError, NotImplementedError, UnicodeDecodeError, ValueError, OverflowError,
)  # fmt: skip


def archive_kind(name: str) -> Kind | None:
    """What ``name`` says it is, by its suffix."""
    return next((kind for suffix, kind in _SUFFIXES.items() if name.lower().endswith(suffix)), None)


def unpack(kind: Kind, archive: Path, into: Path, meter: Meter) -> dict[str, FileHash]:
    """Write the members of ``archive`` below ``into``, hashes by name; hidden ones and ``__MACOSX`` are left out.

    Raises :class:`SourceError` for a damaged, encrypted or cut archive, and for one with links, devices, a name that
    leaves the folder, one name twice, too many members, or more bytes than ``meter`` allows.
    """
    hashes: dict[str, FileHash] = {}
    taken: set[str] = set()
    try:
        with closing(_zip_members(archive) if kind == "zip" else _tar_members(archive)) as members:
            for count, (raw_name, opener) in enumerate(members):
                if count >= MAX_FILES:
                    raise SourceError(f"the archive has more than {MAX_FILES} members")
                meter.add(0)
                if opener is None and raw_name.rstrip("/") in ("", "."):
                    continue
                name = checked_name(raw_name.rstrip("/") if opener is None else raw_name, "the archive")
                if opener is None or is_hidden(name) or name.startswith("__MACOSX/"):
                    continue
                if name in taken:
                    raise SourceError(f"the archive holds {name!r} twice")
                taken.add(name)
                with opener() as reader:
                    hashes[name] = copy_stream(reader, into / name, meter)
    except _DAMAGED as error:
        raise SourceError(f"the archive is damaged or not a {kind} file: {error}") from error
    except (FileExistsError, NotADirectoryError) as error:
        raise SourceError(f"the archive uses {error.filename!r} both as a file and as a folder") from error
    return hashes


Opener = Callable[[], IO[bytes]]
Member = tuple[str, Opener | None]
"""A name, and how to open it (``None`` for a folder)."""


def _zip_members(archive: Path) -> Generator[Member, None, None]:
    with open(archive, "rb") as file, zipfile.ZipFile(cast("IO[bytes]", _Bounded(file))) as packed:
        for info in packed.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise SourceError(f"the archive holds {info.filename!r}, which is a link or a device")
            if info.flag_bits & 0x1:
                raise SourceError(f"the archive's {info.filename!r} is encrypted: pack it without a password")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                # bzip2 and LZMA members come out in pieces of any size, so memory could not be bounded.
                raise SourceError(f"the archive's {info.filename!r} is not packed with deflate: pack it again with zip")
            yield info.orig_filename, None if info.is_dir() else partial(packed.open, info)


def _tar_members(archive: Path) -> Generator[Member, None, None]:
    with (
        _decompressed(archive) as file,
        tarfile.open(fileobj=cast("IO[bytes]", _Bounded(file)), mode="r:") as packed,
    ):
        for member in packed:
            if not (member.isreg() or member.isdir()):
                raise SourceError(f"the archive holds {member.name!r}, which is a link or a device")
            yield member.name, None if member.isdir() else _tar_opener(packed, member)
        # tarfile ends without a word at anything that is no header; only a block of zeros is the true end.
        file.seek(packed.offset)
        if file.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it does not end with an end mark, so it may have been cut short")


def _tar_opener(packed: tarfile.TarFile, member: tarfile.TarInfo) -> Opener:
    return lambda: cast("IO[bytes]", packed.extractfile(member))


@contextmanager
def _decompressed(archive: Path) -> Iterator[IO[bytes]]:
    with open(archive, "rb") as file:
        magic = file.read(6)
    openers: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
    opener = next((opener for start, opener in openers.items() if magic.startswith(start)), open)
    with opener(archive, "rb") as file:
        yield file


class _Bounded(io.RawIOBase):
    """A file that refuses huge single reads, which the libraries make for headers only."""

    def __init__(self, file: Readable) -> None:
        super().__init__()
        self._file = cast("IO[bytes]", file)

    def read(self, size: int = -1, /) -> bytes:
        if size > _MAX_READ:
            raise SourceError(f"the archive has a header of {size} bytes")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True
