"""Which rows can share a run, how they come to be one, and how the answer is parted again."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from operator import attrgetter
from typing import Final

import numpy as np

from mlserve.types import Rows

_DTYPE: Final = attrgetter("dtype")
_RANK: Final = attrgetter("ndim")


def kind_of(rows: Rows) -> Hashable:
    """Equal for rows that can share a run: same dtypes, same shapes behind axis 0."""
    columns = rows.columns.values()
    dtypes = tuple(map(_DTYPE, columns))
    if max(map(_RANK, columns), default=1) == 1:
        return dtypes, None
    return dtypes, tuple([column.shape[1:] for column in columns])


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of ``parts`` one after another."""
    if len(parts) == 1:
        return parts[0]
    columns = [part.columns for part in parts]
    return Rows(
        {name: np.concatenate([one[name] for one in columns]) for name in columns[0]},
        sum([part.count for part in parts]),
    )


def parted(rows: Rows, counts: Sequence[int]) -> Iterator[Rows]:
    """The reverse of :func:`joined`: the first so many rows, then the next, as views."""
    start = 0
    for count in counts:
        end = start + count
        yield Rows({name: column[start:end] for name, column in rows.columns.items()}, count)
        start = end
