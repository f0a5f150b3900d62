"""Out of vocabulary: a value that the model looks up in vain becomes the sentinel that stands for all such values."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from math import prod

import numpy as np

from mlserve.types import Array, Lookups, Vocabulary

Fold = Callable[[Array], Array]
"""A column of shape ``(n, *row)`` to its folded form: the same array if nothing changes, else a new one."""


def folding(lookups: Lookups) -> Fold | None:
    """How a column is folded by ``lookups``; ``None`` if every value stays as it is."""
    if lookups.every is None:
        return _fold_places(lookups.columns) if lookups.columns else None
    words = lookups.every.words
    if lookups.columns:  # an element may be looked up in a table of its own besides: a word of any of them stays
        words = words.union(*(own.words for own in lookups.columns.values()))
    return _fold_all(words, lookups.every.sentinel)


def _fold_all(words: frozenset[str | int], sentinel: str | int) -> Fold:
    def fold(column: Array) -> Array:
        if column.size == 1:  # one row: the way of many would cost five times as much
            value = column.item()
            if value in words or value == sentinel:
                return column
            single = np.empty_like(column)
            single.fill(sentinel)
            return single
        values = column.ravel().tolist()
        if words.issuperset(values):
            return column
        folded = [value if value in words else sentinel for value in values]
        return column if folded == values else np.array(folded, column.dtype).reshape(column.shape)

    return fold


def _fold_places(vocabularies: Mapping[int, Vocabulary]) -> Fold:
    """Rows of free length may be too short to have all the places."""
    places = sorted(vocabularies)
    tables = [(vocabularies[place].words, vocabularies[place].sentinel) for place in places]
    in_order = list(zip(places, tables, strict=True))

    def fold(column: Array) -> Array:
        return fold_one(column) if len(column) == 1 else fold_many(column)

    def fold_one(column: Array) -> Array:
        changed = None
        for place, (words, sentinel) in in_order:
            if place >= column.size:
                break
            value = column.item(place)
            if value not in words and value != sentinel:
                changed = column.copy() if changed is None else changed
                changed.flat[place] = sentinel
        return column if changed is None else changed

    def fold_many(column: Array) -> Array:
        size = prod(column.shape[1:])
        there = places[: bisect_left(places, size)]
        flat = column.reshape(len(column), size)
        values = flat[:, there].tolist()
        folded = [
            [value if value in words else sentinel for value, (words, sentinel) in zip(row, tables, strict=False)]
            for row in values
        ]
        if folded == values:
            return column
        changed = flat.copy()
        changed[:, there] = np.array(folded, column.dtype)
        return changed.reshape(column.shape)

    return fold
