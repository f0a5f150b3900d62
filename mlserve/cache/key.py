"""The key of a row: one segment per input, in key order, joined by ``/``.

Two rows share a key only if the model cannot tell them apart. A segment is the exact value (floats: the shortest text
that reads back to the same value in the input's own dtype), ``%`` and ``/`` percent-escaped so that no two rows run
together; a float with ``Precision`` stands with that many decimals; an auxiliary input that is not in ``KeyFields``
leaves its segment empty. Rows of rank 1 and more stand as their values while those are few, else as a digest. The
layout is mly's (``docs/caching.md``), so that what is exact in both has one text in both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final

import numpy as np
import orjson

from mlserve.types import Array, DType, InputField, Interface, Rows

MAX_ELEMENTS: Final = 64
"""Rows of more elements than this stand as a digest, so that keys stay short."""

Segments = Callable[[Array], Sequence[str]]
"""A column to the segments of its rows."""


class KeyMaker:
    """Keys for the rows of one interface. Pure; one per deployment."""

    def __init__(self, interface: Interface) -> None:
        self._columns = [(field.name, segments_of(field)) for field in interface.inputs]

    def keys(self, rows: Rows) -> list[str]:
        """One key per row. The rows are those the model would see: already rounded, defaults filled in."""
        parts = [segments(rows.columns[name]) for name, segments in self._columns]
        if len(parts) == 1:
            return list(parts[0])
        return ["/".join(row) for row in zip(*parts, strict=True)] if parts else [""] * rows.count


def segments_of(field: InputField) -> Segments:
    """How a field's column becomes segments."""
    if field.auxiliary and not field.wildcard:
        return lambda column: [""] * len(column)
    if field.shape != ():
        return _tensors
    if field.dtype is DType.STRING:
        return _strings
    if field.precision is not None:
        digits = field.precision
        return lambda column: [f"{value:.{digits}f}" for value in column.astype(np.float64).tolist()]
    if field.dtype.is_complex or field.dtype in (DType.FLOAT16, DType.BFLOAT16):
        return lambda column: list(map(str, column.tolist()))
    return _numbers


_SPECIAL: Final = re.compile("[%/]")
_ESCAPES: Final = {"%": "%25", "/": "%2F"}


def escape(text: str) -> str:
    """``text`` as a segment: ``%`` and ``/`` percent-escaped."""
    return _SPECIAL.sub(lambda match: _ESCAPES[match[0]], text) if _SPECIAL.search(text) else text


def _strings(column: Array) -> Sequence[str]:
    return [escape(text) for text in column.tolist()]


def _numbers(column: Array) -> Sequence[str]:
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        return list(map(str, column.tolist()))
    return orjson.dumps(np.ascontiguousarray(column), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode().split(",")


def _tensors(column: Array) -> Sequence[str]:
    if column.dtype == object:
        return [escape(_nested_text(row)) for row in column]
    if column[0].size > MAX_ELEMENTS if len(column) else False:
        return [_digest(row) for row in column]
    return [f"{list(row.shape)}{row.ravel().tolist()}".replace(" ", "") for row in column]


def _nested_text(row: Array) -> str:
    texts = row.ravel().tolist()
    head = f"{list(row.shape)}".replace(" ", "")
    return head + "".join(f"{len(text)}:{text}" for text in texts)


def _digest(row: Array) -> str:
    digest = blake2b(np.ascontiguousarray(row).tobytes(), digest_size=16)
    return f"{list(row.shape)}#{digest.hexdigest()}".replace(" ", "")
