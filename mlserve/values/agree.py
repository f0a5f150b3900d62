"""Are two plain values the same answer, as far as arithmetic goes?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction


def agrees(found: object, expected: object, tolerance: float) -> bool:
    """Equal, numbers within ``tolerance`` (relative or absolute, whichever is wider); ``None`` stands for NaN."""
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        return found.keys() == expected.keys() and all(agrees(found[k], expected[k], tolerance) for k in found)
    if isinstance(found, list | tuple) and isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(agrees, found, expected, [tolerance] * len(found)))
    if isinstance(found, float) and expected is None:
        return not math.isfinite(found)
    if found == expected or not (isinstance(found, int | float) and isinstance(expected, int | float)):
        return found == expected
    if isinstance(found, int) and isinstance(expected, int):  # exact: doubles do not hold every int64
        return abs(found - expected) <= Fraction(tolerance) * max(abs(found), abs(expected), 1)
    try:
        both_nan = math.isnan(found) and math.isnan(expected)
        return both_nan or math.isclose(found, expected, rel_tol=tolerance, abs_tol=tolerance)
    except OverflowError:  # an integer that no double comes near
        return False
