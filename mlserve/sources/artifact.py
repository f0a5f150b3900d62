"""What a source found and what was copied from it: values that the rest of ``serving`` passes around."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileStat:
    """One file of a listing. ``version`` is any text that moves when the file does: its times in ns, or an etag.

    ``size`` is in bytes, -1 where an http server does not tell.
    """

    name: str
    size: int
    version: str


@dataclass(frozen=True, slots=True)
class Listing:
    """All files of an artefact at one moment, by name. Two equal listings mean that nothing moved between them.

    ``newest`` is the Unix time at which something last moved, folders included; ``None`` where the store does not tell
    times, or tells them by a clock of its own. It takes no part in comparing.
    """

    files: tuple[FileStat, ...]
    newest: float | None = field(default=None, compare=False)

    @property
    def size_bytes(self) -> int:
        return sum(max(0, file.size) for file in self.files)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A whole, private copy of one version. ``path`` is what a backend loads: a file or folder inside ``root``.

    ``digest`` is a SHA-256 in hex over relative names and bytes: never paths, times or hosts. Whoever asked for the
    copy removes ``root`` when the version is closed. ``listing`` is what the source held, an archive being one file;
    ``names`` are the files of the copy, relative to ``path`` or, for a file, to its folder.
    """

    root: Path
    path: Path
    digest: str
    listing: Listing
    copied: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return self.copied or tuple(file.name for file in self.listing.files)
