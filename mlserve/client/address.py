"""Where a server is, as people write it."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

DEFAULT_URL: Final = "http://127.0.0.1:8086"
"""Where ``config.example.yaml`` listens."""


def server_url(text: str) -> str:
    """``text`` without its last slashes, if it is a URL that a server can have. Raises :class:`ValueError`."""
    expected = "expected http://host:port or https://host:port, with the path of a proxy at most"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{text!r} is no URL ({error}); {expected}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(f"{text!r} is no URL of a server; {expected}")
    if parts.query or parts.fragment:
        raise ValueError(f"{text!r} has a query or a fragment; {expected}")
    return text.rstrip("/")


def without_secrets(url: str) -> str:
    """``url`` as it may be shown: without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
