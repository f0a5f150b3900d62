"""``Precision``: floats are rounded before anything sees them, so that the key and the model agree on the value."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from mlserve.types import Array, Context, Interface, Predict, Rows

_DECIMALS_END: Final = 2.0**52
"""From here on a double has no fraction: there is nothing left to round."""


def round_half_away(values: Array, digits: int) -> Array:
    """``values`` to ``digits`` decimals as mly rounds: in double, halves away from zero, back to their own dtype.

    Values too large to have such decimals, infinities and NaN stay as they are.
    """
    scale = 10.0**digits
    if values.size == 1:  # one row: numpy's calls would cost four times as much as all the rest
        single = np.empty_like(values)
        single.fill(_rounded(float(values.item()), scale))
        return single
    wide = values.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        magnitude = np.abs(wide) * scale
        whole = np.floor(magnitude)
        rounded = np.copysign((whole + (magnitude - whole >= 0.5)) / scale, wide)
        return np.where(magnitude < _DECIMALS_END, rounded, wide).astype(values.dtype)


def _rounded(value: float, scale: float) -> float:
    magnitude = abs(value) * scale
    if not magnitude < _DECIMALS_END:
        return value
    whole = math.floor(magnitude)
    return math.copysign((whole + (magnitude - whole >= 0.5)) / scale, value)


def rounded_rows(rows: Rows, interface: Interface) -> Rows:
    """``rows`` with the rounding that ``interface`` asks for; ``rows`` itself if it asks for none."""
    digits = {field.name: field.precision for field in interface.inputs if field.precision is not None}
    if not digits:
        return rows
    columns = dict(rows.columns)
    for name, precision in digits.items():
        columns[name] = round_half_away(columns[name], precision)
    return Rows(columns, rows.count)


def rounding(predict: Predict, interface: Interface) -> Predict:
    """``predict`` behind that rounding; ``predict`` itself if there is none."""
    if all(field.precision is None for field in interface.inputs):
        return predict

    async def rounded(rows: Rows, context: Context) -> Rows:
        return await predict(rounded_rows(rows, interface), context)

    return rounded
