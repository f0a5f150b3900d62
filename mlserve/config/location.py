"""Where a relative URL in the configuration points: at the folder of the configuration, wherever that folder is."""

from __future__ import annotations

import os
import re
from typing import Final

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")
_MODULE_TARGET: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_FILE_TARGET: Final = re.compile(r"(.+\.py):([A-Za-z_][\w.]*)")
_ROOTLESS: Final = frozenset({"file", "local", "memory", "mem", "zip", "tar"})
"""Schemes whose first path component is no host or bucket: ``..`` may climb past it."""


def is_remote(url: str) -> bool:
    """True for anything that only fsspec can open: a scheme other than ``file://``, or a chain of URLs."""
    scheme = _SCHEME.match(url)
    return "::" in url or (scheme is not None and scheme[1] not in ("file", "local"))


def base_of(url: str) -> str:
    """The folder that holds ``url``, absolute for local paths; relative URLs in the file resolve against it."""
    if "::" not in url and not _SCHEME.match(url):
        return os.path.dirname(os.path.abspath(os.path.expanduser(url)))
    links = url.split("::")
    at = _anchor(links)
    scheme, path = _split(links[at].partition("?")[0])
    links[at] = scheme + path.rpartition("/")[0]
    return "::".join(links)


def resolve_url(base: str, url: str) -> str:
    """``url`` as it is meant in a configuration whose folder is ``base``; what is absolute comes back untouched.

    Relative may be: a path, the last link of a chain (``zip://model.onnx::models.zip``), ``lmdb:./dir``, and the file
    in ``python:file.py:Class`` and ``file.py:function``. ``module:name`` names Python code and stays; write a file
    whose name looks like that as ``./a:b``. Pure text work, nothing is opened.
    """
    if url.startswith("python:"):
        return "python:" + resolve_url(base, url.removeprefix("python:"))
    if url.startswith("lmdb:"):
        path = url.removeprefix("lmdb:")
        return url if path.startswith("//") else "lmdb:" + _join(base, path)
    if target := _FILE_TARGET.fullmatch(url):
        return f"{resolve_url(base, target[1])}:{target[2]}"
    if _MODULE_TARGET.fullmatch(url):
        return url
    *chain, last = url.split("::")
    return "::".join([*chain, _join(base, last)])


def _join(base: str, path: str) -> str:
    if _SCHEME.match(path) or path.startswith(("/", "~")) or not path:
        return path
    if "::" not in base and not _SCHEME.match(base):
        return os.path.normpath(os.path.join(base, path))
    links = base.split("::")
    at = _anchor(links)
    scheme, folder = _split(links[at])
    floor = 0 if scheme[: -len("://")] in _ROOTLESS else 1
    links[at] = scheme + _climb(folder, path, floor)
    return "::".join(links)


def _climb(folder: str, path: str, floor: int) -> str:
    """``folder/path`` without ``.`` and ``..``; never above the first ``floor`` components (host or bucket)."""
    root = "/" if folder.startswith("/") else ""
    parts = [part for part in folder.split("/") if part]
    for part in path.split("/"):
        if part == "..":
            del parts[max(floor, len(parts) - 1) :]
        elif part not in ("", "."):
            parts.append(part)
    return root + "/".join(parts)


def _anchor(links: list[str]) -> int:
    """The link of a chain that holds the path: the first that is more than a protocol's name (``simplecache``)."""
    return next((at for at, link in enumerate(links) if "/" in link), len(links) - 1)


def _split(url: str) -> tuple[str, str]:
    scheme = _SCHEME.match(url)
    return (scheme[0], url[scheme.end() :]) if scheme else ("", url)
