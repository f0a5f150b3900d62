"""From the JSON of an answer to typed columns, and from columns to what a caller holds in hand.

An output has the type that ``meta/config`` says, if the text is one that this type prints. A transformer may answer
something else under the same name; then, and where nothing is known, the text tells the type: integers are int64,
other numbers float64. Numbers that JSON can only call ``null`` come back as NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import numpy as np
import orjson

from mlserve.types import Array, DType, Rows, TensorSpec
from mlserve.values.elements import Misfit, filler
from mlserve.values.nesting import Uneven, depth_of, flatten


class Misshapen(Exception):
    """What stands as data is not rows of outputs."""


def rows_of(data: Any, specs: Mapping[str, TensorSpec]) -> Rows:
    """The rows of ``data``, an object or a list of objects. Raises :class:`Misshapen`."""
    objects = data if isinstance(data, list) else [data]
    if not objects or not all(isinstance(row, dict) for row in objects):
        raise Misshapen("expected an object of outputs for each row")
    names = objects[0].keys()
    if any(row.keys() != names for row in objects):
        raise Misshapen("some rows have other outputs than others")
    return Rows({name: _column([row[name] for row in objects], specs.get(name)) for name in names}, len(objects))


def with_scalars(rows: Rows, specs: Mapping[str, TensorSpec]) -> Rows:
    """``rows`` as they were stored by a server, with outputs that answers show as scalars in columns of scalars."""
    columns = dict(rows.columns)
    for name, column in columns.items():
        if column.ndim == 2 and column.shape[1] == 1 and not _is_vector(specs.get(name)):
            columns[name] = column[:, 0]
    return Rows(columns, rows.count)


def one_row(rows: Rows) -> dict[str, Any]:
    """The only row: plain scalars, and arrays for wider outputs. Floats are those that the answer's text says."""
    return {name: column[0] if column.ndim > 1 else _scalar(column) for name, column in rows.columns.items()}


def _is_vector(spec: TensorSpec | None) -> bool:
    return spec is not None and spec.shape is not None and len(spec.shape) == 2 and spec.shape[1] is None


def _scalar(column: Array) -> Any:
    if column.dtype.kind == "V":
        return _shortest(column[0])
    if column.dtype.kind == "f" and column.dtype.itemsize < 8:
        return float(str(column[0]))  # the shortest text of a narrow float, not its widened form
    return column.item()


def _column(values: list[Any], spec: TensorSpec | None) -> Array:
    boxed = _boxed(values, spec is not None and spec.dtype.is_complex)
    if boxed is not None:
        flat, dims = boxed
        column = _declared(flat, spec.dtype) if spec is not None else None
        if column is None:
            column = _natural(flat)
        if column is not None:
            return column.reshape(dims)
    column = np.empty(len(values), object)
    column[:] = values
    return column


def _boxed(values: list[Any], pairs: bool) -> tuple[list[Any], tuple[int, ...]] | None:
    """The leaves of a box of lists, and its dimensions; ``None`` for lists that are no box. A pair is a leaf's two."""
    try:
        flat, dims = flatten(values, depth_of(values))
    except Uneven:
        return None
    return flat, dims[:-1] if pairs else dims


def _declared(flat: list[Any], dtype: DType) -> Array | None:
    """``flat`` as that type; ``None`` if it prints otherwise."""
    kinds = set(map(type, flat))
    try:
        if dtype.is_integer:
            return filler(dtype)(flat) if kinds == {int} else None
        if dtype.is_float or dtype.is_complex:
            column = filler(dtype)([nan if value is None else value for value in flat])
            return column if _texts(column, dtype) == flat else None
        return None if dtype is DType.JSON else filler(dtype)(flat)
    except (Misfit, ValueError):
        return None


def _texts(column: Array, dtype: DType) -> list[Any]:
    """The numbers that stand in JSON for those of ``column``."""
    if dtype.is_complex:
        column = column.view(np.float32 if dtype is DType.COMPLEX64 else np.float64)
    if column.dtype.itemsize == 2:
        return [None if value != value else _shortest(value) for value in column]
    printed: list[Any] = orjson.loads(orjson.dumps(column, option=orjson.OPT_SERIALIZE_NUMPY))
    return printed


def _shortest(value: Any) -> float:
    """The double of the shortest text that reads back to ``value``, a float of 16 bits."""
    wide = float(value)
    texts = (f"{wide:.{digits}g}" for digits in range(1, 6))
    with np.errstate(over="ignore"):  # few digits may round past the largest value
        return next((float(text) for text in texts if np.array([float(text)]).astype(value.dtype)[0] == value), wide)


def _natural(flat: list[Any]) -> Array | None:
    kinds = set(map(type, flat))
    if kinds == {bool}:
        return np.array(flat, np.bool_)
    if kinds == {int}:
        return np.array(flat, np.int64 if max(flat) < 2**63 else np.uint64 if min(flat) >= 0 else object)
    if kinds <= {int, float, type(None)} and kinds & {int, float}:
        return np.array([nan if value is None else value for value in flat], np.float64)
    return _strings(flat)


def _strings(flat: Sequence[Any]) -> Array | None:
    try:
        return filler(DType.STRING)(flat)
    except Misfit:
        return None
