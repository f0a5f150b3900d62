"""One attempt at a whole, private copy: look, copy or unpack, ask for companions, look again.

Runs in worker threads, started by :mod:`mlserve.sources.source`. Either everything stood still and an
:class:`~mlserve.sources.artifact.Artifact` comes out, or the copy is removed and an error says why.
"""

from __future__ import annotations

import posixpath
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlserve.errors import SourceError
from mlserve.sources.archive import Kind, unpack
from mlserve.sources.artifact import Artifact, Listing
from mlserve.sources.names import checked_name
from mlserve.sources.place import Beat, Place, Sight
from mlserve.sources.settle import changes
from mlserve.sources.transfer import FileHash, Meter, copy_files, digest

Companions = Callable[[Path], Sequence[str]]
"""Which other files, relative to its folder, the single file at this local path cannot be loaded without. Blocks."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How an artefact is packed. ``inner`` is the path inside, ``""`` for all of it. ``certain``: the URL says so,
    and not only the file's suffix, which a folder may have too."""

    kind: Kind
    inner: str = ""
    certain: bool = False


@dataclass(frozen=True, slots=True)
class _Copied:
    """What lies in the copy: hashes by name relative to ``folder``, and the main file if there is one."""

    folder: Path
    files: dict[str, FileHash]
    main: str | None


class OtherCompanions(Exception):
    """News, not a failure: the file needs other files than those that were listed with it. Try again with these."""

    def __init__(self, names: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(names)))
        self.names = names


class Fetcher:
    """Looks at and copies one artefact. ``known`` are the companions that belong to it as far as we know."""

    def __init__(
        self,
        name: str,
        place: Place,
        *,
        packing: Packing | None,
        ready_file: str | None,
        max_bytes: int,
        companions: Companions,
    ) -> None:
        self.known: frozenset[str] = frozenset()
        self._name = name
        self._place = place
        self._packing = packing
        self._ready_file = ready_file
        self._max_bytes = max_bytes
        self._companions = companions

    def look(self, beat: Beat) -> Sight:
        """What is there. Raises :class:`SourceError` if that is nothing."""
        sight = self._place.look(self.known if self._ready_file is None else self.known | {self._ready_file}, beat)
        if all(file.name == self._ready_file for file in sight.listing.files):
            raise SourceError("the folder holds no files")
        return sight

    def copy(self, into: Path, beat: Beat) -> Artifact:
        """A copy in a new folder below ``into``. Raises :class:`OtherCompanions` if what is ``known`` is not so."""
        sight = self.look(beat)
        self._check(sight.listing, into)
        root = Path(tempfile.mkdtemp(prefix="artifact-", dir=into))
        try:
            artifact = self._fill(root, sight, beat)
            after = self.look(beat).listing
            if after != sight.listing:
                raise SourceError(f"it moved while it was copied: {changes(sight.listing, after)}")
        except BaseException:
            shutil.rmtree(root, ignore_errors=True)
            raise
        return artifact

    def _check(self, listing: Listing, into: Path) -> None:
        if self._ready_file is not None and all(file.name != self._ready_file for file in listing.files):
            raise SourceError(f"the ready file {self._ready_file} is not there")
        size = listing.size_bytes
        if size > self._max_bytes:
            raise SourceError(f"it has {size} bytes, over MaxBytes ({self._max_bytes})")
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(into).free
        if size > free:
            raise SourceError(f"it has {size} bytes, and {into} has room for {free}: free some, or set Location")

    def _fill(self, root: Path, sight: Sight, beat: Beat) -> Artifact:
        packing = self._packing
        if packing is not None and packing.certain and sight.main is None:
            raise SourceError(f"it is a folder, and the URL asks for a {packing.kind} file")
        packed = packing if sight.main is not None else None
        copied = self._copy_plain(root, sight, beat) if packed is None else self._unpack(root, sight, packed, beat)
        if copied.main is None:
            return Artifact(root, copied.folder, digest(copied.files), sight.listing, tuple(sorted(copied.files)))
        main = copied.folder / copied.main
        needed = frozenset(checked_name(name, copied.main) for name in self._companions(main))
        if packed is None and needed != self.known:
            raise OtherCompanions(needed)
        if missing := sorted(needed - copied.files.keys()):
            raise SourceError(f"{copied.main} needs {', '.join(missing)} beside it, which is not there")
        belongs = {name: copied.files[name] for name in {copied.main, *needed}}
        return Artifact(root, main, digest(belongs), sight.listing, tuple(sorted(belongs)))

    def _copy_plain(self, root: Path, sight: Sight, beat: Beat) -> _Copied:
        files = [file for file in sight.listing.files if file.name != self._ready_file]
        folder = root / "artifact"
        hashes = copy_files(self._place, files, folder, self._meter(sight.listing.size_bytes, beat))
        return _Copied(folder, hashes, sight.main)

    def _unpack(self, root: Path, sight: Sight, packing: Packing, beat: Beat) -> _Copied:
        archive = [file for file in sight.listing.files if file.name == sight.main]
        copy_files(self._place, archive, root / "archive", self._meter(sight.listing.size_bytes, beat))
        files = unpack(packing.kind, root / "archive" / archive[0].name, root / "artifact", self._meter(0, beat))
        shutil.rmtree(root / "archive")
        if packing.inner in files:
            top, main = posixpath.split(packing.inner)
        else:
            top, main = _top_folder(files, packing.inner), None
        below = f"{top}/" if top else ""
        inside = {name.removeprefix(below): found for name, found in files.items() if name.startswith(below)}
        return _Copied(root / "artifact" / top, inside, main)

    def _meter(self, total: int, beat: Beat) -> Meter:
        return Meter(self._name, total=total, max_bytes=self._max_bytes, beat=beat)


def _top_folder(files: dict[str, FileHash], inner: str) -> str:
    """The folder that is the artefact: ``inner``, or below it the first that holds more than one folder."""
    inside = [name for name in files if not inner or name.startswith(f"{inner}/")]
    if not inside:
        raise SourceError(f"the archive holds nothing below {inner!r}" if inner else "the archive holds no files")
    return inner or posixpath.commonpath([posixpath.dirname(name) for name in inside])
