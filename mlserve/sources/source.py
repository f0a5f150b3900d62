"""A model's URL as something to list, to watch and to copy.

One :class:`Source` per configured model, owned by whoever keeps that model: ``listing`` as often as it likes, ``fetch``
after :func:`~mlserve.sources.settle.settled` said so, ``close`` once. Nothing here retries; a failure is a
:class:`~mlserve.errors.SourceError` and the caller comes back later. Where a URL leads is in ``local.py`` and
``remote.py``, an attempt at a copy in ``fetch.py``, unpacking in ``archive.py``.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar
from urllib.parse import urlsplit

from fsspec.implementations.local import LocalFileSystem

from mlserve.config.redact import redact_url
from mlserve.errors import MlserveError, SourceError
from mlserve.sources.archive import archive_kind
from mlserve.sources.artifact import Artifact, Listing
from mlserve.sources.fetch import Companions, Fetcher, OtherCompanions, Packing
from mlserve.sources.local import LocalPlace
from mlserve.sources.names import checked_name
from mlserve.sources.place import Beat, Place
from mlserve.sources.remote import RemotePlace
from mlserve.sources.settle import settled
from mlserve.sources.worker import Worker

_log = logging.getLogger("mlserve.sources.source")

_ROUNDS: Final = 3
"""How often a fetch may start over because the file turned out to need others than before."""
_CLOSE_S: Final = 2.0

T = TypeVar("T")


class Source(Protocol):
    """What the rest of ``serving`` asks of a model's URL. ``url`` is redacted: fit for messages, not for opening."""

    url: str
    ready_file: str | None

    async def listing(self) -> Listing:
        """What lies there now: one look, no waiting for it to stand still.

        Raises :class:`SourceError` if it cannot be listed or if there is nothing,
        :class:`~mlserve.errors.MissingPackage` if the URL needs a package that is not installed.
        """
        ...

    async def fetch(self, into: Path) -> Artifact:
        """A whole, private copy in a new folder below ``into``, which the caller removes when done with it.

        Lists again afterwards; if anything moved meanwhile, the copy is thrown away. Raises as ``listing`` does, and
        what the callable for companions raises. Failed or cancelled, it leaves nothing behind.
        """
        ...

    def folders(self) -> frozenset[Path]:
        """Local folders, existing or not, whose events may mean that the listing moved; empty if the URL is remote.

        As of the last listing, so ask again after each.
        """
        ...

    async def close(self) -> None:
        """Stop what runs and let go of connections. The copies belong to their callers and stay."""
        ...


def open_source(
    url: str,
    *,
    ready_file: str | None = None,
    max_bytes: int,
    companions: Companions,
    timeout_s: float = 30.0,
) -> Source:
    """The source behind ``url``: a path or any fsspec URL; ``zip://inner::outer`` or ``tar://inner::outer``; a file
    named ``.zip``, ``.tar``, ``.tar.gz`` or ``.tgz``, which is unpacked. Nothing is opened yet.

    ``ready_file`` names a file whose presence means "complete": listed, never copied. ``max_bytes`` bounds the files
    as they lie and as they unpack. ``timeout_s`` bounds how long an operation may be silent. Relative paths mean the
    working directory.

    Raises :class:`SourceError` for a URL or a name of a ready file that cannot work.
    """
    shown = redact_url(url)
    url, packing = _unchained(url, shown)
    if url.startswith("mem://"):
        url = "memory://" + url.removeprefix("mem://")
    place: Place
    if "://" not in url or url.startswith(("file://", "local://")):
        path = Path(LocalFileSystem._strip_protocol(url))  # noqa: SLF001  # the way fsspec itself reads local URLs
        place, folders = LocalPlace(path), frozenset({path, path.parent})
    else:
        place, folders = RemotePlace(url, timeout_s=timeout_s), frozenset()
    if ready_file is not None:
        ready_file = checked_name(ready_file, f"{shown}: ReadyFile")
    fetcher = Fetcher(shown, place, packing=packing, ready_file=ready_file, max_bytes=max_bytes, companions=companions)
    return _Source(shown, place, fetcher, ready_file=ready_file, folders=folders, timeout_s=timeout_s)


def _unchained(url: str, shown: str) -> tuple[str, Packing | None]:
    """The URL of the file or folder itself, and how it is packed."""
    first, chained, outer = url.partition("::")
    if not chained:
        kind = archive_kind(urlsplit(url).path if url.startswith(("http://", "https://")) else url)
        return url, None if kind is None else Packing(kind)
    scheme, _, inner = first.partition("://")
    if scheme not in ("zip", "tar") or "::" in outer:
        raise SourceError(f"{shown}: of chained URLs, mlserve reads zip://inner::outer and tar://inner::outer")
    inner = inner.strip("/")
    inner = checked_name(inner, shown) if inner else ""
    return outer, Packing("zip" if scheme == "zip" else "tar", inner, certain=True)


class _Source:
    """The one implementation of :class:`Source`: the blocking parts, a worker, and what the last look taught."""

    def __init__(
        self,
        url: str,
        place: Place,
        fetcher: Fetcher,
        *,
        ready_file: str | None,
        folders: frozenset[Path],
        timeout_s: float,
    ) -> None:
        self.url = url
        self.ready_file = ready_file
        self._place = place
        self._fetcher = fetcher
        self._folders = folders
        self._worker = Worker(url, timeout_s=timeout_s)

    async def listing(self) -> Listing:
        sight = await self._run("listing", self._fetcher.look)
        self._folders = sight.folders
        return sight.listing

    async def fetch(self, into: Path) -> Artifact:
        for _ in range(_ROUNDS):
            try:
                return await self._run("copying", partial(self._fetcher.copy, into), _remove)
            except OtherCompanions as other:
                # They may still be on their way: from here on they are listed, and must stand still too.
                self._fetcher.known = other.names
            await settled(self)
        raise SourceError(f"{self.url}: which other files it needs keeps changing")

    def folders(self) -> frozenset[Path]:
        return self._folders

    async def close(self) -> None:
        await self._worker.close()
        try:
            await Worker(self.url, timeout_s=_CLOSE_S).run("closing", lambda _: self._place.close())
        except Exception as error:  # whatever a library does on its way out, there is nothing left to save
            _log.warning("%s: closing failed: %s", self.url, redact_url(_in_words(error)))

    async def _run(self, what: str, call: Callable[[Beat], T], discard: Callable[[T], object] | None = None) -> T:
        try:
            return await self._worker.run(what, call, discard=discard)
        except SourceError as error:
            raise SourceError(redact_url(f"{self.url}: {error}")) from error
        except (MlserveError, OtherCompanions):
            raise
        except Exception as error:  # file systems raise whatever their libraries do
            raise SourceError(redact_url(f"{self.url}: {what} failed: {_in_words(error)}")) from error


def _remove(artifact: Artifact) -> None:
    shutil.rmtree(artifact.root, ignore_errors=True)


def _in_words(error: Exception) -> str:
    what = getattr(error, "filename", None) or str(error)
    if isinstance(error, FileNotFoundError):
        return f"nothing is at {what}"
    if isinstance(error, PermissionError):
        return f"no permission for {what}: let the user that mlserve runs as read it"
    return f"{type(error).__name__}: {error}"
