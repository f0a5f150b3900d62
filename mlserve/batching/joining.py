"""Which rows can share a run, and how they come to be one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from mlserve.types import Rows


def kind_of(rows: Rows) -> Hashable:
    """Equal for rows that can share a run: same dtypes, same shapes behind axis 0."""
    columns = rows.columns.values()
    return tuple([(column.dtype, None if column.ndim == 1 else column.shape[1:]) for column in columns])


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of ``parts`` one after another."""
    if len(parts) == 1:
        return parts[0]
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    return Rows(columns, sum([part.count for part in parts]))
