"""Columns back to plain values: what a transformer, the self-test or a person wants to see of one row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mlserve.types import Array, Rows


def plain_row(rows: Rows, index: int) -> dict[str, Any]:
    """Row ``index`` as plain values by column name, such as :func:`~mlserve.values.rows_from_values` would take.

    Columns of shape ``(n,)`` and ``(n,1)`` give scalars, wider ones nested lists. Floats are widened to double, so
    they compare exactly; NaN stays NaN; complex numbers are ``[re, im]``; strings keep their surrogate escapes.
    """
    return {name: plain_value(_scalar_or_row(column, index)) for name, column in rows.columns.items()}


def plain_value(value: Any) -> Any:
    """An array, a numpy scalar or anything nested from them in plain values; the rest as it is."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "c":
            return np.stack((value.real, value.imag), axis=-1).tolist()
        return (
            [plain_value(item) for item in value.tolist()] if value.dtype == object and value.ndim else _listed(value)
        )
    if isinstance(value, np.generic):
        return plain_value(np.asarray(value))
    if isinstance(value, Mapping):
        return {key: plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    return value


def count_non_finite(rows: Rows) -> int:
    """How many numbers in ``rows`` are NaN or infinite: those that JSON can only call ``null``. For metrics."""
    return sum([count_non_finite_in(column) for column in rows.columns.values()])


def count_non_finite_in(column: Array) -> int:
    """As :func:`count_non_finite`, in one column."""
    kind = column.dtype.kind
    if kind in "biuSU":
        return 0
    if kind == "O":
        return sum([_non_finite_within(value) for value in column.ravel().tolist() if type(value) is not str])
    if kind == "f" and column.size == 1:
        return not math.isfinite(column.item())
    with np.errstate(invalid="ignore"):
        return int(column.size - np.count_nonzero(np.isfinite(column)))


def _scalar_or_row(column: Array, index: int) -> Any:
    row = column[index]
    return row[0] if isinstance(row, np.ndarray) and row.shape == (1,) else row


def _listed(value: Array) -> Any:
    if value.dtype.kind == "V":  # bfloat16: its own tolist() gives numpy scalars
        with np.errstate(invalid="ignore"):  # NaN may be a signalling one
            return value.astype(np.float64).tolist()
    return value.tolist()


def _non_finite_within(value: Any) -> int:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Mapping):
        return sum(map(_non_finite_within, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_non_finite_within, value))
    if isinstance(value, np.ndarray | np.generic):
        return count_non_finite_in(np.asarray(value))
    return 0
