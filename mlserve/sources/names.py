"""Names of files inside an artefact, wherever they come from: an archive, a bucket, a model that names its own data."""

from __future__ import annotations

import re
from typing import Final

from mlserve.errors import SourceError

_DRIVE: Final = re.compile(r"[A-Za-z]:")
_MAX_NAME: Final = 1024
_MAX_PART: Final = 255


def checked_name(name: str, where: str) -> str:
    """``name`` without ``.`` parts, as a relative path with ``/`` that cannot leave the folder it is joined to.

    Raises :class:`SourceError`, which says ``where`` the name was found, for anything else: absolute paths, drives,
    ``..``, backslashes (a separator to some readers and a letter to others), NUL, empty or overlong names.
    """
    parts = [part for part in name.split("/") if part != "."]
    if name.startswith("/") or _DRIVE.match(name):
        fault = "it is an absolute path"
    elif ".." in parts:
        fault = "it leaves the artefact's folder"
    elif "\\" in name or "\0" in name:
        fault = "it holds a backslash or NUL"
    elif not parts or not all(parts):
        fault = "it has an empty part"
    elif len(name) > _MAX_NAME or any(len(part.encode(errors="surrogateescape")) > _MAX_PART for part in parts):
        fault = "it is too long"
    else:
        return "/".join(parts)
    raise SourceError(f"{where} names the file {name[:120]!r}, which is refused: {fault}")


def is_hidden(name: str) -> bool:
    """True if a part of ``name`` starts with a dot: temporaries of rsync, Kubernetes' ``..data``, ``.DS_Store``."""
    return any(part.startswith(".") for part in name.split("/"))
