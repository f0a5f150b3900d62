"""Nested lists taken apart: how deep, which dimensions, and all their leaves in one flat list.

Every pass over elements runs in C (``map``, ``countOf``, ``reduce``), since a request may hold millions of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import countOf, iconcat
from typing import Any, Final

MAX_RANK: Final = 32
"""What every numpy we support can hold."""


class Uneven(Exception):
    """Lists that are no box. ``index`` is the flat position, among its level's lists, of the first that differs."""

    def __init__(self, level: int, index: int, reason: str) -> None:
        super().__init__(reason)
        self.level = level
        self.index = index


def depth_of(value: object) -> int:
    """How many lists ``value`` is nested in, judged by the first element of each that is not ``None``."""
    depth = 0
    while type(value) is list:
        depth += 1
        value = next((item for item in value if item is not None), None)
    return depth


def flatten(value: list[Any], depth: int) -> tuple[list[Any], tuple[int, ...]]:
    """The leaves of ``depth`` nested lists, in order, and the ``depth`` dimensions.

    Leaves may still be lists: whoever reads them by type will notice. Raises :class:`Uneven` if lists of one level
    differ in length, if one is empty, or if something else stands where a list should.
    """
    if not value:
        raise Uneven(0, 0, "the list is empty")
    flat, dims = value, [len(value)]
    for level in range(1, depth):
        if countOf(map(type, flat), list) < len(flat):
            index = next(index for index, item in enumerate(flat) if type(item) is not list)
            raise Uneven(level, index, "a single value stands where the others are lists")
        first = len(flat[0])
        if countOf(map(len, flat), first) < len(flat):
            index = next(index for index, item in enumerate(flat) if len(item) != first)
            raise Uneven(level, index, f"{len(flat[index])} values, where those before it have {first}")
        if not first:
            raise Uneven(level, 0, "the list is empty")
        dims.append(first)
        flat = reduce(iconcat, flat, [])
    return flat, tuple(dims)


def position(index: int, dims: Sequence[int]) -> tuple[int, ...]:
    """The place in a box of ``dims`` of its flat element ``index``."""
    place = []
    for dim in reversed(dims):
        index, at = divmod(index, dim)
        place.append(at)
    return tuple(reversed(place))
