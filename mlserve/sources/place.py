"""The contract between a source and where files lie: look at everything, then open single files.

Called by :mod:`mlserve.sources.source` from worker threads only, several at once. Implementations block, keep no state
between calls that a change of the files could make stale, and raise what their library raises; the source turns that
into a :class:`~mlserve.errors.SourceError`. They raise that error themselves for what they refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from mlserve.sources.artifact import Listing

MAX_FILES: Final = 10_000
"""The most files and folders one artefact may have: a URL that names the root of a bucket stops here."""

Beat = Callable[[], None]
"""To be called between any two steps that may take long; raises when nobody waits for the result any more."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look found. ``main`` is the file's name if the URL names a file, ``None`` if it names a folder.

    ``folders`` are the local folders in which a change can alter what the next look finds.
    """

    listing: Listing
    main: str | None
    folders: frozenset[Path] = frozenset()


class Readable(Protocol):
    """An open file."""

    def read(self, size: int, /) -> bytes: ...


class Place(Protocol):
    """Where an artefact's files lie."""

    def look(self, extra: Collection[str], beat: Beat) -> Sight:
        """Everything that is there now, hidden files left out. ``extra`` names, relative to the folder (of the file),
        are added if they exist, hidden or not.

        Raises :class:`FileNotFoundError` if the URL leads nowhere.
        """
        ...

    def open(self, name: str) -> AbstractContextManager[Readable]:
        """The file that ``look`` listed as ``name``, for reading once from its start."""
        ...

    def close(self) -> None:
        """Give connections back. Called once, last."""
        ...
