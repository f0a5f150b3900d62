"""Artefacts on a local (or mounted) file system.

The path itself may be a link, so that publishing by flipping one works; links inside must stay inside; sockets, pipes
and devices are refused before anything opens them, because opening a pipe waits for a writer.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Final

from mlserve.errors import SourceError
from mlserve.sources.artifact import FileStat, Listing
from mlserve.sources.place import MAX_FILES, Beat, Sight

_MAX_LINKS: Final = 40


class LocalPlace:
    """``path`` is absolute and need not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def look(self, extra: Collection[str], beat: Beat) -> Sight:
        real = self._path.resolve(strict=True)
        status = real.stat()
        if stat.S_ISDIR(status.st_mode):
            main, walk = None, _Walk(real, beat)
        else:
            main, walk = self._path.name, _Walk(real.parent, beat)
            _refuse_special(status, self._path)
            walk.files[main] = status
        if main is None:
            walk.run()
        for name in extra:
            try:
                target = self._locate(name)
                walk.files[name] = os.stat(target)
                walk.folders.add(target.parent)
            except (FileNotFoundError, NotADirectoryError):
                continue
            _refuse_special(walk.files[name], target)
        files = tuple(FileStat(name, s.st_size, _version(s)) for name, s in sorted(walk.files.items()))
        newest = max([walk.newest, *(_moved(s) for s in walk.files.values())])
        return Sight(Listing(files, newest), main, frozenset(walk.folders | set(_ways_to(self._path))))

    def open(self, name: str) -> FileIO:
        target = self._locate(name)
        # O_NONBLOCK: should a pipe have taken the file's place since the look, opening it must not wait for a writer.
        handle = os.open(target, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _refuse_special(os.fstat(handle), target)
        except BaseException:
            os.close(handle)
            raise
        return FileIO(handle)

    def close(self) -> None:
        """Nothing is held open."""

    def _locate(self, name: str) -> Path:
        """Where ``name`` lies now, links resolved. A file's companions lie beside it or beside what it links to."""
        real = self._path.resolve(strict=True)
        if real.is_dir():
            homes = [real]
        elif name == self._path.name:
            return real
        else:
            homes = [self._path.parent.resolve(strict=True), real.parent]
        for home in homes:
            if os.path.lexists(home / name):
                return _inside(home / name, homes)
        raise FileNotFoundError(2, "No such file", str(homes[0] / name))


@dataclass(slots=True)
class _Walk:
    """One pass over a folder: files by relative name, folders seen, and when any of the folders last moved."""

    root: Path
    beat: Beat
    files: dict[str, os.stat_result] = field(default_factory=dict)
    folders: set[Path] = field(default_factory=set)
    newest: float = 0.0
    seen: int = 0

    def run(self) -> None:
        pending: list[tuple[str, Path, tuple[Path, ...]]] = [("", self.root, (self.root,))]
        while pending:
            prefix, folder, above = pending.pop()
            self.folders.add(folder)
            self.newest = max(self.newest, _moved(folder.stat()))
            for name, path in self._entries(folder):
                status = os.stat(path)
                if not stat.S_ISDIR(status.st_mode):
                    _refuse_special(status, path)
                    self.files[prefix + name] = status
                elif path in above:
                    raise SourceError(f"{folder / name} is a link to a folder it lies in: remove the link")
                else:
                    pending.append((f"{prefix}{name}/", path, (*above, path)))

    def _entries(self, folder: Path) -> Iterator[tuple[str, Path]]:
        with os.scandir(folder) as entries:
            for entry in entries:
                self.beat()
                if entry.name.startswith("."):
                    continue
                self.seen += 1
                if self.seen > MAX_FILES:
                    raise SourceError(f"{self.root} holds more than {MAX_FILES} files: does the URL name the model?")
                path = Path(entry.path)
                if entry.is_symlink():
                    path = _inside(path, [self.root])
                    self.folders.add(path.parent)
                yield entry.name, path


def _inside(path: Path, homes: list[Path]) -> Path:
    """``path`` with its links resolved, if that is still below one of ``homes``."""
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError up to Python 3.12
        raise SourceError(f"{path} is a link that leads nowhere: remove or repair it") from error
    if not any(real.is_relative_to(home) for home in homes):
        raise SourceError(f"{path} is a link out of the artefact's folder: copy the file there instead")
    return real


def _refuse_special(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "pipe, socket or device"
        raise SourceError(f"{path} is a {kind}, and an artefact's files must be regular files")


def _ways_to(path: Path) -> Iterator[Path]:
    """The folders in which ``path`` itself, or a link on the way to it, can be made to lead elsewhere."""
    yield path.parent
    for _ in range(_MAX_LINKS):
        link = next((step for step in reversed((path, *path.parents)) if step.is_symlink()), None)
        if link is None:
            return
        yield link.parent
        path = Path(os.path.normpath(link.parent / os.readlink(link) / path.relative_to(link)))
        yield path.parent


def _moved(status: os.stat_result) -> float:
    # The change time too: cp -p, rsync -t and tar set an old modification time on files they wrote just now.
    return max(status.st_mtime, status.st_ctime)


def _version(status: os.stat_result) -> str:
    # No inode number: some network file systems make a new one up whenever they forget the last.
    return f"{status.st_mtime_ns}.{status.st_ctime_ns}"
