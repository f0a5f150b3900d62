"""Numbers as text that reads back to the same value, in the few forms that every client can read."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import numpy as np
import orjson

from mlserve.types import Array

_WIDEST_EXPONENT: Final = 19
"""mly's Go clients read exponents from e-19 to e19 and refuse others."""
LARGE: Final = 1e19
SMALL: Final = 1e-18
"""A number whose size is from SMALL to below LARGE prints well as it is; a little inside the bound."""
_EXPONENT: Final = re.compile(rb"(-?)(\d+)(?:\.(\d+))?e([+-]?\d+)")


def is_ordinary(value: float) -> bool:
    """True for a double that orjson prints in a form that all clients read; false for NaN and infinities."""
    return SMALL <= value < LARGE or -LARGE < value <= -SMALL or value == 0


def are_ordinary(column: Array) -> bool:
    """As :func:`is_ordinary`, for all elements of a column of floats."""
    return bool(np.isfinite(column).all()) and not _has_extremes(column)


def column_text(column: Array) -> bytes:
    """A column of numbers, of any shape but ``()``, as a JSON list: the shortest texts, exponents bounded.

    Non-finite numbers print as ``null``. float16 and bfloat16 become the doubles whose shortest text is theirs.
    """
    if not column.dtype.isnative:
        column = column.astype(column.dtype.newbyteorder("="))
    if column.dtype.kind in "biu":
        return _text(np.ascontiguousarray(column))
    if column.dtype.itemsize == 2:
        column = _shortest_doubles(column)
    text = _text(np.ascontiguousarray(column))
    return written_out(text) if _has_extremes(column) else text


def printable_scalar(value: float | np.generic) -> Any:
    """As :func:`column_text`, for one number from anywhere: what orjson prints so."""
    if type(value) is float:
        return value if is_ordinary(value) or value != value else orjson.Fragment(written_out(orjson.dumps(value)))
    return orjson.Fragment(column_text(np.asarray(value).reshape(1))[1:-1])


def written_out(text: bytes) -> bytes:
    """JSON text of numbers alone, exponents beyond e-19 and e19 replaced by zeros."""
    return _EXPONENT.sub(_positional, text)


def _positional(match: re.Match[bytes]) -> bytes:
    sign, whole, fraction, exponent = match[1], match[2], match[3] or b"", int(match[4])
    if -_WIDEST_EXPONENT <= exponent <= _WIDEST_EXPONENT:
        return match[0]
    point = len(whole) + exponent
    digits = whole + fraction
    if point <= 0:
        return sign + b"0." + b"0" * -point + digits
    return sign + digits + b"0" * (point - len(digits))


def _text(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _has_extremes(column: Array) -> bool:
    if column.size == 1:
        size = abs(column.item())
        return bool(size >= LARGE or 0 < size < SMALL)
    sizes = np.abs(column)
    return bool(((sizes >= LARGE) | ((sizes < SMALL) & (sizes > 0))).any())


def _shortest_doubles(column: Array) -> Array:
    """For a dtype of 16 bits, the double that has the shortest text which reads back to each element."""
    bits = np.ascontiguousarray(column).view(np.uint16).ravel().tolist()
    return np.array([_shortest(column.dtype, each) for each in bits], dtype=np.float64).reshape(column.shape)


@lru_cache(maxsize=2**17)  # every value of both dtypes
def _shortest(dtype: np.dtype[Any], bits: int) -> float:
    with np.errstate(over="ignore", invalid="ignore"):  # few digits may round past the largest value; NaN may signal
        value = np.array([bits], dtype=np.uint16).view(dtype).astype(np.float64).item()
        for digits in range(1, 6):
            candidate = float(f"{value:.{digits}g}")
            if np.array([candidate]).astype(dtype).astype(np.float64).item() == value:
                return candidate
    return float(value)
