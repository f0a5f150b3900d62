"""Artefacts behind an fsspec URL that is not local: http, S3, Google Cloud, memory, whatever is installed.

Every look goes past fsspec's caches. An http server is asked for the one file, or for its index if the URL ends in
``/``; only links below the URL count.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from io import RawIOBase
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import aiohttp
import fsspec

from mlserve.errors import MissingPackage, SourceError
from mlserve.sources.artifact import FileStat, Listing
from mlserve.sources.names import checked_name, is_hidden
from mlserve.sources.place import MAX_FILES, Beat, Readable, Sight

_HTTP: Final = frozenset({"http", "https"})
_EXTRAS: Final = {"s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3"), "gs": ("gcsfs", "gcs"), "gcs": ("gcsfs", "gcs")}
"""Protocol -> package and the extra of mlserve that installs it."""
_MARKS: Final = ("ETag", "etag", "generation", "VersionId", "md5Hash", "content_settings", "Content-MD5", "Digest",
                 "Last-Modified", "LastModified", "last_modified", "updated", "mtime", "sha", "modified")  # fmt: skip
"""What file systems call the things that move with a file."""
_TIMES: Final = ("LastModified", "last_modified", "updated", "mtime", "modified")
"""Those that are times. An http server's ``Last-Modified`` is not among them: its clock is its own."""
_BLOCK: Final = 8 * 1024 * 1024


class RemotePlace:
    """``url`` has a protocol and no ``::``. Connects at the first look, in the thread of that look."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._protocol = url.partition("://")[0]
        self._http = self._protocol in _HTTP
        self._lock = threading.Lock()
        self._connected: tuple[Any, str] | None = None
        self._folder = False  # as of the last look; asking anew for each file would double the requests

    def look(self, extra: Collection[str], beat: Beat) -> Sight:
        files, path = self._connect()
        files.invalidate_cache()
        info = self._info(files, path)
        folder = info["type"] == "directory" or (self._http and urlsplit(info.get("url", path)).path.endswith("/"))
        self._folder = folder
        if folder:
            found = dict(self._walk(files, path.rstrip("/"), beat))
            if self._http and not found:
                raise SourceError("the server gives no index of that folder: name a single file")
        else:
            found = {self._name(path): info}
        for name in extra:
            beat()
            try:
                found[name] = self._info(files, self._path(path, name, folder=folder))
            except FileNotFoundError:
                found.pop(name, None)
        stats = tuple(_file_stat(name, info) for name, info in sorted(found.items()))
        return Sight(Listing(stats, _newest(list(found.values()))), None if folder else self._name(path))

    def open(self, name: str) -> AbstractContextManager[Readable]:
        files, path = self._connect()
        target = self._path(path, name, folder=self._folder)
        if self._protocol == "memory":
            return _in_memory(files, target)
        options: dict[str, Any] = {"block_size": 0} if self._http else {"block_size": _BLOCK}
        opened: AbstractContextManager[Readable] = files.open(target, "rb", **options)
        return opened

    def close(self) -> None:
        with self._lock:
            files = self._connected[0] if self._connected else None
            self._connected = None
        session = getattr(files, "_s3creator", None) or getattr(files, "_session", None)
        if files is not None and session is not None:
            files.close_session(files.loop, session)

    def _connect(self) -> tuple[Any, str]:
        with self._lock:
            if self._connected is None:
                try:
                    self._connected = fsspec.core.url_to_fs(self._url, skip_instance_cache=True, **self._options())
                except ImportError as error:
                    if self._protocol in _EXTRAS:
                        raise MissingPackage(f"A {self._protocol}:// URL", *_EXTRAS[self._protocol]) from error
                    raise SourceError(f"{self._protocol}:// URLs need another package: {error}") from error
                except ValueError as error:
                    raise SourceError(f"the URL cannot be used: {error}") from error
            return self._connected

    def _options(self) -> dict[str, Any]:
        if self._http:
            # aiohttp's own default ends every download after five minutes; here only silence counts. Identity: what
            # arrives must have the length that was announced.
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout_s, sock_read=self._timeout_s)
            return {
                "client_kwargs": {"timeout": timeout},
                "headers": {"Accept-Encoding": "identity"},
                "simple_links": False,
            }
        return {"use_listings_cache": False} if self._protocol in _EXTRAS else {}

    def _info(self, files: Any, path: str) -> Mapping[str, Any]:
        try:
            info: dict[str, Any] = dict(files.info(path))
        except FileNotFoundError as error:
            cause = error.__cause__
            # fsspec calls every failure of an http server "not found"; a 503 is no reason to believe a file is gone.
            if self._http and cause is not None and getattr(cause, "status", None) not in (404, 410):
                raise OSError(f"{type(cause).__name__}: {cause}") from cause
            raise
        if self._protocol == "memory" and info["type"] == "file":
            info["modified"] = files.modified(path)
        return info

    def _walk(self, files: Any, root: str, beat: Beat) -> Iterator[tuple[str, Mapping[str, Any]]]:
        pending, seen = [root + "/" if self._http else root], 0
        while pending:
            for info in files.ls(pending.pop(), detail=True):
                beat()
                full = str(info["name"])
                if not full.startswith(root + "/") or (self._http and ("?" in full or "#" in full)):
                    continue  # an index page also links to its own sort orders
                relative = full[len(root) + 1 :].rstrip("/")
                if not relative or is_hidden(relative):
                    continue
                seen += 1
                if seen > MAX_FILES:
                    raise SourceError(f"more than {MAX_FILES} files lie below the URL: does it name the model?")
                if info["type"] == "directory":
                    pending.append(full)
                else:
                    name = checked_name(unquote(relative) if self._http else relative, "the listing")
                    again = self._http or self._protocol == "memory"  # their listings say too little
                    yield name, self._info(files, full) if again else info

    def _name(self, path: str) -> str:
        last = urlsplit(path).path.rpartition("/")[2] if self._http else path.rpartition("/")[2]
        return checked_name(unquote(last) if self._http else last, "the URL")

    def _path(self, path: str, name: str, *, folder: bool) -> str:
        """The full path of ``name``, which lies in ``path`` if that is a folder and beside it otherwise."""
        if not folder and name == self._name(path):
            return path
        if not self._http:
            return f"{path.rstrip('/') if folder else path.rpartition('/')[0]}/{name}"
        base, mark, query = path.partition("?")
        return f"{base.rstrip('/') if folder else base.rpartition('/')[0]}/{quote(name)}{mark}{query}"


def _file_stat(name: str, info: Mapping[str, Any]) -> FileStat:
    marks = "|".join(str(info[mark]) for mark in _MARKS if info.get(mark))
    size = info.get("size")
    return FileStat(name, -1 if size is None else int(size), marks)


def _newest(infos: list[Mapping[str, Any]]) -> float | None:
    times = [_unix_time(next((info[key] for key in _TIMES if info.get(key)), None)) for info in infos]
    known = [time for time in times if time is not None]
    return max(known) if known and len(known) == len(times) else None


def _unix_time(value: object) -> float | None:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).timestamp()
        except ValueError:
            return None
    return float(value) if isinstance(value, int | float) else None


class _Slices(RawIOBase):
    """Reads a file in memory by ranges: fsspec would hand every reader the same object with one shared position."""

    def __init__(self, files: Any, path: str) -> None:
        super().__init__()
        self._files = files
        self._path = path
        self._at = 0

    def read(self, size: int = -1, /) -> bytes:
        piece: bytes = self._files.cat_file(self._path, self._at, None if size < 0 else self._at + size)
        self._at += len(piece)
        return piece


@contextmanager
def _in_memory(files: Any, path: str) -> Iterator[Readable]:
    with _Slices(files, path) as reader:
        yield reader
