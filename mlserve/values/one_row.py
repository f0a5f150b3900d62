"""One row of plain values to columns by the shortest way: what nearly every request holds.

Per interface there is a table with one converter for each input. A converter takes the values that are plainly right
and answers ``None`` to all others, right or wrong: those go the careful way of :mod:`mlserve.values.rows`, which knows
every rule and words every error. So nothing here decides what is allowed; ``tests/values/test_one_row.py`` holds both
ways to the same columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from mlserve.errors import BadRequest
from mlserve.types import Array, DType, InputField, Interface, Rows
from mlserve.values.columns import column_of
from mlserve.values.defaults import default_row
from mlserve.values.elements import Misfit, filler, largest
from mlserve.values.nesting import depth_of

Converter = Callable[[Any], Array | None]
"""A value to a column of one row, in the input's dtype; ``None`` for what only the careful way can judge."""


class _Input(NamedTuple):
    name: str
    convert: Converter
    default: Array | None
    """One row; ``None`` for an input without a default, or with one that does not fit."""


def one_row(interface: Interface, values: Mapping[str, Any]) -> Rows | None:
    """The row that ``values`` say, or ``None`` if they are not plainly one row of this interface."""
    inputs = interface.derived(_inputs)
    columns: dict[str, Array] = {}
    absent = 0
    for name, convert, default in inputs:
        value = values.get(name)
        column = convert(value)
        if column is None:
            if value is not None or default is None:
                return None
            column = default.copy()
            absent += name not in values
        columns[name] = column
    return Rows(columns, 1) if len(values) + absent == len(inputs) else None


def _inputs(interface: Interface) -> tuple[_Input, ...]:
    return tuple([_Input(field.name, _converter(field), _default(field)) for field in interface.inputs])


def _default(field: InputField) -> Array | None:
    if not field.has_default:
        return None
    try:
        return default_row(field)
    except BadRequest:
        return None


def _converter(field: InputField) -> Converter:
    dtype = field.dtype
    if dtype.is_complex or dtype is DType.JSON:
        return partial(_nested, field)
    if field.shape is not None and len(field.shape) == 1:
        return partial(_vector, filler(dtype), field.shape[0])
    if field.shape != ():
        return partial(_nested, field)
    if dtype is DType.STRING:
        return _string
    if dtype is DType.BOOL:
        return _boolean
    empty = partial(np.empty, 1, dtype.numpy)
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        return partial(_integer, empty, int(info.min), int(info.max))
    if dtype is DType.BFLOAT16:
        return partial(_bfloat16, dtype.numpy, largest(dtype))
    if dtype.is_float:
        return partial(_float, empty, largest(dtype))
    return _nothing


def _string(value: Any) -> Array | None:
    if type(value) is not str:
        return None
    column = np.empty(1, object)
    column[0] = value
    return column


def _boolean(value: Any) -> Array | None:
    return np.array((value,), np.bool_) if type(value) is bool else None


def _integer(empty: Callable[[], Array], low: int, high: int, value: Any) -> Array | None:
    if type(value) is not int or not low <= value <= high:
        return None
    column = empty()
    column[0] = value
    return column


def _float(empty: Callable[[], Array], bound: float, value: Any) -> Array | None:
    if (type(value) is not float and type(value) is not int) or not -bound <= value <= bound:
        return None
    column = empty()
    column[0] = value
    return column


def _double() -> Array:
    return np.empty(1, np.float64)


def _bfloat16(kind: np.dtype[Any], bound: float, value: Any) -> Array | None:
    """By way of a double: it takes no integer beyond 64 bits."""
    column = _float(_double, bound, value)
    return None if column is None else column.astype(kind)


def _vector(fill: Callable[[Sequence[Any]], Array], width: int | None, value: Any) -> Array | None:
    if type(value) is not list or not value or (width is not None and len(value) != width):
        return None
    try:
        return fill(value).reshape(1, -1)
    except Misfit:
        return None


def _nested(field: InputField, value: Any) -> Array | None:
    """Lists of lists, and whatever has no declared rank. Looking twice at what is wrong costs only those who err."""
    depth = depth_of(value) - field.dtype.is_complex
    rank = depth if field.shape is None else len(field.shape)
    if value is None or depth != rank or rank < 0:
        return None
    try:
        return column_of(field, value, rank=rank, rows=False)
    except BadRequest:
        return None


def _nothing(value: Any) -> None:
    """No converter: no request can fill such an input."""
