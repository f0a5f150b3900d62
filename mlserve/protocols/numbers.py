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
_LARGE: Final = 1e19
_SMALL: Final = 1e-18
"""A little inside the bound: they only say which texts to look at."""
_EXPONENT: Final = re.compile(rb"(-?)(\d+)(?:\.(\d+))?e([+-]?\d+)")


def printable(column: Array) -> list[Any]:
    """One JSON-ready value per row of a column of floats: what orjson prints as the shortest text, exponents bounded.

    Non-finite numbers print as ``null``. float16 and bfloat16 become the doubles whose shortest text is theirs.
    """
    if column.dtype.itemsize == 2:
        column = _shortest_doubles(column)
    column = np.ascontiguousarray(column)
    if _has_extremes(column):
        return [orjson.Fragment(written_out(_text(row))) for row in column]
    return column.tolist() if column.ndim == 1 and column.dtype == np.float64 else list(column)


def printable_scalar(value: float | np.generic) -> Any:
    """As :func:`printable`, for one number from anywhere."""
    if type(value) is float:
        size = abs(value)
        return orjson.Fragment(written_out(orjson.dumps(value))) if _SMALL > size > 0 or size >= _LARGE else value
    return printable(np.asarray(value).reshape(1))[0]


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
        return bool(size >= _LARGE or 0 < size < _SMALL)
    sizes = np.abs(column)
    return bool(((sizes >= _LARGE) | ((sizes < _SMALL) & (sizes > 0))).any())


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
