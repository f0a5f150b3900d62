"""``Precision``: floats to so many decimals, as mly rounds them."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from mlserve.types import Array

_DECIMALS_END: Final = 2.0**52
"""From here on a double has no fraction: there is nothing left to round."""


def round_half_away(values: Array, digits: int) -> Array:
    """``values`` to ``digits`` decimals: in double, halves away from zero, back to their own dtype.

    Values too large to have such decimals, infinities and NaN stay as they are. ``values`` itself if no number changes.
    """
    scale = 10.0**digits
    if values.size == 1:  # one row: numpy's calls would cost four times as much as all the rest
        value = float(values.item())
        single = np.empty_like(values)
        single.fill(_rounded(value, scale))
        return values if float(single.item()) == value else single
    wide = values.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        magnitude = np.abs(wide) * scale
        whole = np.floor(magnitude)
        rounded = np.copysign((whole + (magnitude - whole >= 0.5)) / scale, wide)
        many: Array = np.where(magnitude < _DECIMALS_END, rounded, wide).astype(values.dtype)
    return values if np.array_equal(many, values) else many


def _rounded(value: float, scale: float) -> float:
    magnitude = abs(value) * scale
    if not magnitude < _DECIMALS_END:
        return value
    whole = math.floor(magnitude)
    return math.copysign((whole + (magnitude - whole >= 0.5)) / scale, value)
