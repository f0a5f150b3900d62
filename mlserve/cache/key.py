"""The key of a row: the segments of its inputs, in order, joined by ``/``.

Two rows share a key only if the model cannot tell them apart. A segment is the exact value (floats: the shortest text
that reads back to the same value in the input's own dtype), ``%`` and ``/`` percent-escaped so that no two rows run
together; a float with ``Precision`` stands with that many decimals; an auxiliary input that is not in ``KeyFields``
leaves its segment empty. Rows of rank 1 and more stand as their values while those are few, else as a digest. The
layout is mly's (``docs/caching.md``), so that what is exact in both has one text in both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import prod
from typing import Final

import numpy as np
import orjson

from mlserve.types import Array, DType, InputField, Interface, Rows

MAX_ELEMENTS: Final = 16
"""Rows of more elements than this stand as a digest, so that keys stay short."""

_BEYOND_ORJSON: Final = (DType.BFLOAT16, DType.COMPLEX64, DType.COMPLEX128)

Segments = Callable[[Array], Sequence[str]]
"""A column to the segments of its rows."""


class KeyMaker:
    """Keys for the rows of one interface. Pure; one per deployment."""

    def __init__(self, interface: Interface) -> None:
        columns = [(field.name, segments_of(field)) for field in interface.inputs]
        self._others = [(name, segments) for name, segments in columns if segments is not _numbers]
        self._numbers = [name for name, segments in columns if segments is _numbers]
        worked_out = [name for name, _ in self._others] + self._numbers
        self._order = [worked_out.index(name) for name, _ in columns]
        """Where each input's segments are, of those as they are worked out."""

    def keys(self, rows: Rows) -> list[str]:
        """One key per row. The rows are canonical: what the model would see, rounded and folded."""
        if not self._order or not rows.count:
            return [""] * rows.count
        columns = rows.columns
        parts = [segments(columns[name]) for name, segments in self._others]
        if self._numbers:
            parts += _numbers_of([columns[name] for name in self._numbers])
        if rows.count == 1:
            return ["/".join([parts[place][0] for place in self._order])]
        return list(map("/".join, zip(*[parts[place] for place in self._order], strict=True)))


def segments_of(field: InputField) -> Segments:
    """How a field's column of at least one row becomes segments."""
    if field.auxiliary and not field.wildcard:
        return lambda column: [""] * len(column)
    if field.shape != ():
        return _tensors
    if field.dtype is DType.STRING:
        return _strings
    if field.precision is not None:
        return _decimals(field.precision, wide=field.dtype is DType.FLOAT64)
    if field.dtype in _BEYOND_ORJSON:
        return lambda column: list(map(str, column.tolist()))
    return _numbers


def escape(text: str) -> str:
    """``text`` as a segment: ``%`` and ``/`` percent-escaped."""
    if "%" in text or "/" in text:
        return text.replace("%", "%25").replace("/", "%2F")
    return text


def _strings(column: Array) -> Sequence[str]:
    return [escape(text) if "/" in text or "%" in text else text for text in column.tolist()]


def _decimals(digits: int, *, wide: bool) -> Segments:
    """``digits`` decimals, as mly writes them. Large doubles, which rounding leaves as they are, may be closer
    together than that: they stand exactly."""
    if not wide:
        return lambda column: [f"{value:.{digits}f}" for value in map(float, column.tolist())]
    end = 2.0**52 / 10.0**digits
    return lambda column: [
        f"{value:.{digits}f}" if abs(value) < end else repr(value) for value in map(float, column.tolist())
    ]


def _numbers(column: Array) -> Sequence[str]:
    return _numbers_of([column])[0]


def _numbers_of(columns: list[Array]) -> list[list[str]]:
    """Those of all ``columns`` in one go: for a single row, each go costs more than its text."""
    try:
        raw = orjson.dumps(columns, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:  # one of them is a view into something else
        whole = [np.ascontiguousarray(column) for column in columns]
        raw = orjson.dumps(whole, option=orjson.OPT_SERIALIZE_NUMPY)
    texts = [text.split(",") for text in raw[2:-2].decode().split("],[")]
    if b"n" in raw:  # null: NaN and the infinities have no JSON
        return [list(map(_with_nulls, *pair)) for pair in zip(texts, map(np.ndarray.tolist, columns), strict=True)]
    return texts


def _with_nulls(text: str, value: object) -> str:
    return str(value) if text == "null" else text


def _tensors(column: Array) -> Sequence[str]:
    shape = str(list(column.shape[1:])).replace(" ", "")
    size = prod(column.shape[1:])
    flat = np.ascontiguousarray(column).reshape(len(column), size)
    if column.dtype == object:
        return [shape + escape("".join([f"{len(text)}:{text}" for text in texts])) for texts in flat.tolist()]
    if size > MAX_ELEMENTS:
        return [f"{shape}#{blake2b(row.tobytes(), digest_size=16).hexdigest()}" for row in flat]
    return [shape + text for text in _lists(flat)]


def _lists(flat: Array) -> Sequence[str]:
    if flat.dtype.kind not in "biuf":
        return [_plain_list(row) for row in flat]
    raw = orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY)
    texts = [f"[{text}]" for text in raw[2:-2].decode().split("],[")]
    if b"n" in raw:
        return [_plain_list(row) if "null" in text else text for text, row in zip(texts, flat, strict=True)]
    return texts


def _plain_list(row: Array) -> str:
    return f"[{','.join(map(str, row.tolist()))}]"
