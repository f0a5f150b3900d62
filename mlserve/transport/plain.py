"""Requests so plain that their bytes alone tell what they ask and where they end: a grammar, much narrower than HTTP.

No I/O, no state but a memo, and nothing of the parser's. What is not plain is not wrong: the ordinary carrier reads it.
A header may stand here only if no handler of an evaluation reads it, and if it says nothing about the connection.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

_LINE: Final = re.compile(
    rb"(GET|POST) ((?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+)(?:\?([A-Za-z0-9._~!$&'()*+,;=:@/?%-]*))? HTTP/1\.1\r\n"
)
_FIELD: Final = re.compile(rb"([A-Za-z-]+): ([!-~](?:[ -~]*[!-~])?)\r\n")
_VALUES: Final = {
    b"host": re.compile(rb"[A-Za-z0-9._:\[\]-]+"),
    b"user-agent": re.compile(rb".+"),
    b"accept": re.compile(rb".+"),
    # Without weights or "*": nothing here that could ever ask for another answer than one as it is.
    b"accept-encoding": re.compile(rb"[a-z]+(?:, ?[a-z]+)*"),
    b"content-type": re.compile(rb".+"),
    b"content-length": re.compile(rb"0|[1-9][0-9]{0,8}"),
}
"""The headers that a plain request may have, each once, and what it may say in them."""
_END: Final = b"\r\n\r\n"
MAX_FIELDS_BYTES: Final = 1024
"""Longer headers are not plain, which bounds the memo of those that are."""


class Plain(NamedTuple):
    """What one plain request asks. ``query`` is the raw text after ``?``."""

    method: str
    path: str
    query: str
    body: bytes


class _NotPlainError(Exception):
    """Raised and not returned, so that nothing of such headers (there may be secrets in them) stays in the memo."""


def read_plain(data: bytes) -> Plain | None:
    """What ``data`` asks if it is exactly one whole plain request; else ``None``.

    A ``GET`` has no body and no ``Content-Length``, a ``POST`` has one and no query.
    """
    line = _LINE.match(data)
    if line is None:
        return None
    body_at = data.find(_END, line.end() - 2) + len(_END)
    try:
        length = _content_length(data[line.end() : body_at])
    except _NotPlainError:
        return None
    method, path, query = line.groups()
    if method == b"GET":
        if length is not None or body_at != len(data):
            return None
        return Plain("GET", path.decode(), query.decode() if query else "", b"")
    if length is None or body_at + length != len(data) or query is not None:
        return None
    return Plain("POST", path.decode(), "", data[body_at:])


@lru_cache(maxsize=512)  # a client's requests differ in their line and body, and their headers stay as they are
def _content_length(fields: bytes) -> int | None:
    """What the header lines and the empty one behind them say of the body; ``None`` if nothing."""
    if len(fields) > MAX_FIELDS_BYTES:
        raise _NotPlainError
    seen: dict[bytes, bytes] = {}
    at = 0
    while field := _FIELD.match(fields, at):
        name, value = field[1].lower(), field[2]
        if name in seen or name not in _VALUES or not _VALUES[name].fullmatch(value):
            raise _NotPlainError
        seen[name] = value
        at = field.end()
    if fields[at:] != b"\r\n" or b"host" not in seen:
        raise _NotPlainError
    return int(seen[b"content-length"]) if b"content-length" in seen else None
