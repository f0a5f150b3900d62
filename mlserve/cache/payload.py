"""The answer of one row as flat bytes, and many of them back to columns at once.

A payload is a head and the values. The head says names, dtypes and shapes; rows of one layout share it, so a batch of
them is one join and one view. Numbers stand in their own binary form; strings and plain values, which have no fixed
size, follow them with their lengths. Nothing in it is executable: what does not decode is an error, never code.

Layout: ``version (1 byte) | head length (2 bytes, little endian) | head (JSON) | fixed part | variable parts``, each
variable part being ``length (4 bytes, little endian) | bytes``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import orjson

from mlserve.types import Array, DType, Rows

VERSION: Final = 1
_PREFIX: Final = 3


class NotEncodable(Exception):
    """An answer holds values that no payload can carry; such a model is not cached."""


class NotDecodable(Exception):
    """Bytes that are no payload of this version."""


@dataclass(frozen=True, slots=True)
class _Layout:
    fixed: np.dtype[Any]
    """A structured dtype over the columns of fixed size."""
    columns: tuple[tuple[str, str, tuple[int, ...]], ...]
    """(name, dtype name, row shape) in the order of the answer."""


def encode(rows: Rows) -> list[bytes]:
    """One payload per row. Raises :class:`NotEncodable`."""
    described = [(name, _kind(column), column.shape[1:]) for name, column in rows.columns.items()]
    head = orjson.dumps(described)
    if len(head) >= 2**16:
        raise NotEncodable("the names and shapes of the outputs are too long")
    prefix = bytes([VERSION]) + len(head).to_bytes(2, "little") + head
    layout = _layout(head)
    table = np.empty(rows.count, layout.fixed)
    variable: list[list[bytes]] = []
    for name, kind, _ in described:
        column = rows.columns[name]
        if kind in _VARIABLE:
            variable.append([_pack(kind, value) for value in column])
        else:
            table[name] = column
    size = layout.fixed.itemsize
    raw = table.tobytes()
    fixed = (raw[start : start + size] for start in range(0, len(raw), size)) if size else iter([b""] * rows.count)
    if not variable:
        return [prefix + part for part in fixed]
    return [prefix + part + b"".join(texts) for part, texts in zip(fixed, zip(*variable, strict=True), strict=True)]


def decode(payloads: Sequence[bytes]) -> Rows:
    """The rows of these payloads, in order. Raises :class:`NotDecodable`, also if they are not of one layout."""
    try:
        return _decode(payloads)
    except NotDecodable:
        raise
    except Exception as error:  # bytes from outside can be wrong in any way
        raise NotDecodable(f"{type(error).__name__}: {error}") from error


def _decode(payloads: Sequence[bytes]) -> Rows:
    first = payloads[0]
    if first[0] != VERSION:
        raise NotDecodable(f"version {first[0]}, expected {VERSION}")
    body = _PREFIX + int.from_bytes(first[1:_PREFIX], "little")
    prefix = first[:body]
    layout = _layout(prefix[_PREFIX:])
    end = body + layout.fixed.itemsize
    if not all(payload.startswith(prefix) and len(payload) >= end for payload in payloads):
        raise NotDecodable("payloads of different layouts, or cut short")
    table = np.frombuffer(b"".join([payload[body:end] for payload in payloads]), layout.fixed, len(payloads))
    offsets = [end] * len(payloads)
    columns: dict[str, Array] = {}
    for name, kind, shape in layout.columns:
        if kind in _VARIABLE:
            columns[name] = _unpack(kind, shape, payloads, offsets)
        else:
            columns[name] = np.ascontiguousarray(table[name])
    if any(offset != len(payload) for offset, payload in zip(offsets, payloads, strict=True)):
        raise NotDecodable("bytes left over")
    return Rows(columns, len(payloads))


_VARIABLE: Final = (DType.STRING, DType.JSON)


def _kind(column: Array) -> str:
    if column.dtype != object:
        return str(column.dtype)
    strings = all(type(value) is str for value in column.ravel().tolist())
    return DType.STRING if strings else DType.JSON


@lru_cache(maxsize=1024)
def _layout(head: bytes) -> _Layout:
    columns = tuple((str(name), str(kind), tuple(map(int, shape))) for name, kind, shape in orjson.loads(head))
    fixed = [(name, DType(kind).numpy, shape) for name, kind, shape in columns if kind not in _VARIABLE]
    return _Layout(np.dtype(fixed), columns)


def _pack(kind: str, value: Any) -> bytes:
    """One row of a column without fixed size; a row of several strings is a JSON list of them."""
    try:
        if kind == DType.STRING and isinstance(value, str):
            packed = value.encode("utf-8", "surrogateescape")
        else:
            plain = value.tolist() if isinstance(value, np.ndarray) else value
            packed = orjson.dumps(plain, option=orjson.OPT_SERIALIZE_NUMPY)
    except (TypeError, UnicodeEncodeError) as error:
        raise NotEncodable(str(error)) from error
    return len(packed).to_bytes(4, "little") + packed


def _unpack(kind: str, shape: tuple[int, ...], payloads: Sequence[bytes], offsets: list[int]) -> Array:
    column = np.empty((len(payloads), *shape), object)
    for index, payload in enumerate(payloads):
        start = offsets[index] + 4
        end = start + int.from_bytes(payload[start - 4 : start], "little")
        if end > len(payload):
            raise NotDecodable("cut short")
        packed = payload[start:end]
        if kind == DType.STRING and not shape:
            column[index] = packed.decode("utf-8", "surrogateescape")
        else:
            column[index] = orjson.loads(packed)
        offsets[index] = end
    return column
