"""Entries read with suspicion: what does not decode costs its own row a run, and its neighbours nothing."""

from __future__ import annotations

from collections.abc import Sequence

from mlserve.cache.merge import Part
from mlserve.cache.payload import NotDecodable, decode


def readable(payloads: Sequence[bytes | None]) -> tuple[Part | None, int]:
    """The rows of those that are there and can be read, with their places, and how many cannot be read.

    Raises :class:`~mlserve.cache.merge.Unjoinable`.
    """
    there = [payload for payload in payloads if payload is not None]
    if not there:
        return None, 0
    all_there = len(there) == len(payloads)
    places = range(len(payloads)) if all_there else [place for place, it in enumerate(payloads) if it is not None]
    try:
        return (decode(there), places), 0
    except NotDecodable:
        pairs = zip(places, there, strict=True)
        good = [(place, payload) for place, payload in pairs if _is_readable(payload)]
    if not good:
        return None, len(there)
    rows = decode([payload for _, payload in good])
    return (rows, [place for place, _ in good]), len(there) - len(good)


def _is_readable(payload: bytes) -> bool:
    try:
        decode([payload])
    except NotDecodable:
        return False
    return True
