"""Does a row's answer depend on anything but the row? Batching and caching stand on that it does not.

Two different rows are run alone and together, and one of them twice. The last bits of a float may depend on the size
of its batch (that is the runtime's doing), so numbers agree within a tolerance.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mlserve.contracts.backend import LoadedModel
from mlserve.inference.feed import Feed
from mlserve.inference.probe import run
from mlserve.types import Array, Rows
from mlserve.values import agrees, plain_row

TOLERANCE: Final = 1e-3
"""Relative or absolute. Half precision differs by this much between batch sizes; rows that leak differ by far more."""


def dependence(model: LoadedModel, feed: Feed, one: Rows, other: Rows) -> str | None:
    """What an answer depends on besides its row, naming the output; ``None`` if nothing was found. Blocks.

    Raises what the model raises: the rows are made up, and it may be right to refuse them.
    """
    alone = [run(model, feed, rows) for rows in (one, other)]
    again = run(model, feed, one)
    if output := _differing(alone[0], 0, again, 0):
        return f"two runs of one row give different values of output {output!r}"
    names = one.columns
    together = run(
        model, feed, Rows({name: np.concatenate([one.columns[name], other.columns[name]]) for name in names}, 2)
    )
    for index, answer in enumerate(alone):
        if output := _differing(answer, 0, together, index):
            return f"a row's value of output {output!r} depends on the rows beside it"
    return None


def unlike(rows: Rows, *, words: bool) -> Rows:
    """Rows of the same shapes with other values in every column; text stays as it is unless ``words``."""
    return Rows({name: _unlike(column, words=words) for name, column in rows.columns.items()}, rows.count)


def _unlike(column: Array, *, words: bool) -> Array:
    if column.dtype == object:
        other = np.empty(column.size, object)
        other[:] = [f"{text}-other" if words else text for text in column.flat]
        return other.reshape(column.shape)
    # Any change will do that fits the type, whatever stood there: NaN, the largest integer, True.
    return np.where(column == 1, np.zeros_like(column), np.ones_like(column))


def _differing(one: Rows, row: int, other: Rows, other_row: int) -> str | None:
    left, right = plain_row(one, row), plain_row(other, other_row)
    return next((name for name in left if not agrees(left[name], right[name], TOLERANCE)), None)
