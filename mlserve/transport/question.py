"""What requests to one model have in common when they ask the same, however the rest of them is worded."""

from __future__ import annotations

from typing import Final

from mlserve.contracts.protocol import Protocol

MAX_QUESTION_BYTES: Final = 2048
"""Longer requests cost more to keep than to decode."""


def question_of(protocol: Protocol, method: str, query: str, body: bytes) -> bytes | None:
    """What answers are recorded under; ``None`` for requests that are too long to be kept."""
    if method == "POST":
        question = b"%b\0%b" % (protocol.name.encode(), body)
    else:
        question = f"{protocol.name}\1{query}".encode("utf-8", "surrogateescape")
    return question if len(question) <= MAX_QUESTION_BYTES else None
