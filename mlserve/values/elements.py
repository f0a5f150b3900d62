"""A flat list of plain values to a one-dimensional array of one dtype, exactly or not at all.

What fits what:

* integers: whole numbers in the dtype's range; ``25.0`` is whole, ``1.7`` is not. One written with a point or an
  exponent has come through a double, so from 2^53 on it may not be what was meant, and is refused.
* floats: any number, rounded to the nearest the dtype has; one that would become infinite is refused. NaN and
  infinities pass: JSON cannot hold them, and defaults and test rows may.
* complex: a flat list of ``re, im, re, im``.
* bool: ``true`` and ``false`` alone. Booleans are never numbers.
* string: ``str``, or ``{"b64": "…"}`` for bytes that are not text.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Final

import numpy as np

from mlserve.types import Array, DType
from mlserve.values.packing import packed
from mlserve.values.show import shown

_EXACT: Final = 2**53
_FEW: Final = 64
"""So many values are sooner looked at one by one than by numpy."""
_DOUBLE: Final = np.dtype(np.float64)


class Misfit(Exception):
    """The element at ``index`` does not fit; the text says what was expected and what came."""

    def __init__(self, index: int, expected: str, got: object) -> None:
        super().__init__(f"expected {expected}, got {shown(got)}")
        self.index = index
        self.got = got


@cache
def filler(dtype: DType) -> Callable[[Sequence[Any]], Array]:
    """The function from a non-empty flat list to an array of ``dtype``; it raises :class:`Misfit`."""
    if dtype is DType.BOOL:
        return _booleans
    if dtype is DType.STRING:
        return _strings
    if dtype is DType.JSON:
        raise TypeError("no input has the type json")
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        wide = np.dtype(np.uint64 if dtype is DType.UINT64 else np.int64)
        return partial(_integers, dtype, dtype.numpy, wide, int(info.min), int(info.max))
    if dtype.is_complex:
        part = DType.FLOAT32 if dtype is DType.COMPLEX64 else DType.FLOAT64
        return lambda flat: filler(part)(flat).view(dtype.numpy)
    return partial(_floats, dtype, dtype.numpy, largest(dtype))


def _booleans(flat: Sequence[Any]) -> Array:
    if set(map(type, flat)) != {bool}:
        index = _first(flat, lambda value: type(value) is not bool)
        raise Misfit(index, "true or false (bool)", flat[index])
    return np.array(flat, dtype=np.bool_)


def _integers(
    dtype: DType, kind: np.dtype[Any], wide: np.dtype[Any], low: int, high: int, flat: Sequence[Any]
) -> Array:
    if len(flat) > _FEW and (column := packed(flat, wide)) is not None and _within(column, low, high):
        return column.astype(kind, copy=False)
    if set(map(type, flat)) != {int}:
        flat = [_whole(index, value, dtype, low, high) for index, value in enumerate(flat)]
    if min(flat) < low or max(flat) > high:
        index = _first(flat, lambda value: not low <= value <= high)
        raise Misfit(index, _integer_expected(dtype, low, high), flat[index])
    return np.array(flat, dtype=kind)


def _whole(index: int, value: object, dtype: DType, low: int, high: int) -> int:
    if type(value) is int:
        return value
    expected = _integer_expected(dtype, low, high)
    if type(value) is float and value.is_integer():
        if abs(value) < _EXACT:
            return int(value)
        if low <= value <= high:
            expected += ", from 2^53 on without point or exponent"
    raise Misfit(index, expected, value)


def _integer_expected(dtype: DType, low: int, high: int) -> str:
    return f"a whole number from {low} to {high} ({dtype})"


def _floats(dtype: DType, kind: np.dtype[Any], largest: float, flat: Sequence[Any]) -> Array:
    if len(flat) > _FEW and (column := packed(flat, _DOUBLE)) is not None and _within(column, -largest, largest):
        return column.astype(kind, copy=False)
    if not set(map(type, flat)) <= {float, int}:
        index = _first(flat, lambda value: type(value) not in (float, int))
        raise Misfit(index, f"a number ({dtype})", flat[index])
    # A NaN that comes first makes both comparisons false, one that comes later is passed over: either way is right.
    if len(flat) <= _FEW and min(flat) >= -largest and max(flat) <= largest:
        return np.array(flat, dtype=np.float64).astype(kind, copy=False)
    return _floats_looked_through(dtype, kind, flat)


def _floats_looked_through(dtype: DType, kind: np.dtype[Any], flat: Sequence[Any]) -> Array:
    """As :func:`_floats`, where some are not finite or may overflow."""
    try:
        wide = np.array(flat, dtype=np.float64)
    except OverflowError:
        index = _first(flat, _beyond_double)
        raise Misfit(index, f"a number within the range of {dtype}", flat[index]) from None
    with np.errstate(over="ignore"):
        narrow = wide.astype(kind)
    overflown = np.flatnonzero(np.isinf(narrow) & np.isfinite(wide))
    if overflown.size:
        index = int(overflown[0])
        raise Misfit(index, f"a number within the range of {dtype}", flat[index])
    return narrow


def _beyond_double(value: float) -> bool:
    try:
        float(value)
    except OverflowError:
        return True
    return False


def largest(dtype: DType) -> float:
    """The largest finite value of a float dtype."""
    if dtype is DType.BFLOAT16:
        return float.fromhex("0x1.fep+127")
    return float(np.finfo(dtype.numpy).max)


def _strings(flat: Sequence[Any]) -> Array:
    if set(map(type, flat)) != {str}:
        flat = [_text(index, value) for index, value in enumerate(flat)]
    column = np.empty(len(flat), dtype=object)
    column[:] = flat
    return column


def _text(index: int, value: object) -> str:
    if type(value) is str:
        return value
    if type(value) is dict and value.keys() == {"b64"} and type(value["b64"]) is str:
        try:
            return binascii.a2b_base64(value["b64"], strict_mode=True).decode("utf-8", "surrogateescape")
        except ValueError:  # binascii.Error is one; so is the complaint about text that is not ASCII
            raise Misfit(index, 'base64 with its padding in {"b64": "…"}', value["b64"]) from None
    raise Misfit(index, 'a string, or {"b64": "…"} for bytes that are not text', value)


def _within(column: Array, low: float, high: float) -> bool:
    """Also false where one is NaN."""
    return bool(column.min().item() >= low and column.max().item() <= high)


def _first(flat: Sequence[Any], is_wrong: Callable[[Any], bool]) -> int:
    return next(index for index, value in enumerate(flat) if is_wrong(value))
