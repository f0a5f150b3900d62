"""The bytes of a configuration file, from wherever it is, as text."""

from __future__ import annotations

import os
from typing import IO, Any, Final

from mlserve.config.document import MAX_CHARACTERS
from mlserve.config.location import is_remote
from mlserve.config.masking import redact_url
from mlserve.errors import ConfigError, Problem

MAX_BYTES: Final = MAX_CHARACTERS


def read_text(url: str) -> str:
    """The text at ``url``, a local path or any fsspec URL, past every listing cache. Blocks.

    Raises :class:`ConfigError` naming ``url`` and the reason: absent, not readable, over 4 MiB, not UTF-8.
    """
    place = redact_url(url)
    try:
        with _open(url) as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        reason = "there is no such file" + (", or it cannot be reached" if is_remote(url) else "")
        raise ConfigError([Problem(place, "", reason)]) from error
    except IsADirectoryError as error:
        raise ConfigError([Problem(place, "", "this is a folder; name the YAML file in it")]) from error
    except Exception as error:  # fsspec's file systems raise whatever the library below them does
        reason = redact_url(f"{type(error).__name__}: {error}")
        raise ConfigError([Problem(place, "", f"cannot be read: {reason}")]) from error
    if len(content) > MAX_BYTES:
        raise ConfigError([Problem(place, "", f"the file is larger than {MAX_BYTES // 1024**2} MiB")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError([Problem(f"{place}:{line}", "", "not UTF-8 text")]) from error


def _open(url: str) -> IO[bytes]:
    if not is_remote(url):
        path = url.removeprefix("file://").removeprefix("local://")
        return open(os.path.expanduser(path), "rb")
    import fsspec  # not needed for local files

    address = "memory" + url.removeprefix("mem") if url.startswith("mem://") else url
    options: dict[str, Any] = {"skip_instance_cache": True} if "::" in address else {}
    filesystem, path = fsspec.core.url_to_fs(address, **options)
    filesystem.invalidate_cache()
    stream: IO[bytes] = filesystem.open(path, "rb")
    return stream
