"""What requests to one model have in common when they ask the same, however the rest of them is worded."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from mlserve.contracts.protocol import Protocol

MAX_QUESTION_BYTES: Final = 16384
"""Longer requests are batches, of which nothing is kept, or cost more to tell apart than a run saves."""
LONG_BYTES: Final = 512
"""What is longer is known by its digest: quicker to store, and a row of 500 inputs takes no more room than one of 5."""


def question_of(protocol: Protocol, method: str, query: str, body: bytes) -> bytes | None:
    """What answers are recorded under; ``None`` for requests that are too long to be kept."""
    if len(body) > MAX_QUESTION_BYTES or len(query) > MAX_QUESTION_BYTES:
        return None
    if method == "POST":
        return known_by(b"%b\0%b" % (protocol.name.encode(), body))
    return known_by(f"{protocol.name}\1{query}".encode("utf-8", "surrogateescape"))


def known_by(text: bytes) -> bytes:
    """``text`` if it is short, else a digest that nobody can find another text for; no short text of HTTP is one."""
    return text if len(text) <= LONG_BYTES else b"\0" + sha256(text).digest()
