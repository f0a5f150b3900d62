"""Rows from several places, put together in the order they were asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mlserve.types import Array, Rows

Part = tuple[Rows, Sequence[int]]
"""Some rows, and the place of each in the whole."""


class Unjoinable(Exception):
    """Rows whose columns differ in name, type or trailing shape: no arrays hold them all."""


def merged(parts: Sequence[Part]) -> Rows:
    """The whole, every place of which is given once. Raises :class:`Unjoinable`."""
    rows, places = parts[0]
    if len(parts) == 1 and list(places) == list(range(rows.count)):
        return rows
    order = np.empty(sum([len(places) for _, places in parts]), np.intp)
    order[np.concatenate([np.asarray(places, np.intp) for _, places in parts])] = np.arange(len(order))
    columns = [part.columns for part, _ in parts]
    return Rows({name: _column(columns, name)[order] for name in _names(columns)}, len(order))


def concatenated(parts: Sequence[Rows]) -> Rows:
    """The rows of ``parts``, of which there is at least one, one after another. Raises :class:`Unjoinable`."""
    if len(parts) == 1:
        return parts[0]
    columns = [part.columns for part in parts]
    return Rows({name: _column(columns, name) for name in _names(columns)}, sum([part.count for part in parts]))


def _names(parts: Sequence[Mapping[str, Array]]) -> list[str]:
    names = list(parts[0])
    if any(list(columns) != names for columns in parts):
        raise Unjoinable("some rows have other outputs than others")
    return names


def _column(columns: Sequence[Mapping[str, Array]], name: str) -> Array:
    pieces = [_as_objects(column[name]) for column in columns]
    first = pieces[0]
    if len({piece.dtype for piece in pieces}) > 1 or len({piece.shape[1:] for piece in pieces}) > 1:
        raise Unjoinable(f"output {name!r} has another type or shape in some rows than in others")
    return np.concatenate(pieces) if len(pieces) > 1 else first


def _as_objects(column: Array) -> Array:
    """Strings of user code may come in arrays as wide as their longest."""
    return column.astype(object) if column.dtype.kind == "U" else column
