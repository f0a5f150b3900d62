"""Large requests in portions: between two of them the event loop has its turn, so that nobody waits for the whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

PORTION: Final = 1_024
"""Rows: a few milliseconds of work, and one round trip."""


def portions(places: Sequence[int]) -> Iterator[Sequence[int]]:
    """``places`` in order, some at a time; nothing for none."""
    if len(places) <= PORTION:
        if places:
            yield places
        return
    for start in range(0, len(places), PORTION):
        yield places[start : start + PORTION]
