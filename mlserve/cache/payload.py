"""The answer of one row as flat bytes, and many of them back to columns at once.

A payload is a head and the values. The head says names, dtypes and shapes; rows of one layout share it, so a batch of
them is one join and one view. Numbers stand in their own binary form; strings and plain values, which have no fixed
size, follow them with their lengths. Nothing in it is executable: what does not decode is an error, never code.

Layout: ``version (1 byte) | head length (2 bytes, little endian) | head (JSON) | fixed part | variable parts``. Spaces
behind the JSON let the fixed part begin, and numpy read it, at a multiple of 16. Each element of a column without
fixed size is ``length (4 bytes, little endian) | bytes``, column after column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from struct import Struct
from typing import Any, Final

import numpy as np
import orjson

from mlserve.cache.merge import merged
from mlserve.cache.plain import pack_all, unpack_all, unpack_plain
from mlserve.types import Array, DType, Rows, Shape

VERSION: Final = 1
MAX_EMPTY_DIM: Final = 2**16
"""The largest other dimension of a row that has no elements: its bytes do not bound what a reader would print."""

_START: Final = Struct("<BH")
_PREFIX: Final = _START.size
_LENGTH: Final = Struct("<I")
_ALIGNMENT: Final = 16


class NotEncodable(Exception):
    """An answer holds values that no payload can carry; such a model is not cached."""


class NotDecodable(Exception):
    """Bytes that are no payload of this version."""


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    dtype: DType
    shape: tuple[int, ...]
    member: str
    """Its name in the structured dtype: output names may be anything."""
    elements: int
    """Of one row."""


@dataclass(frozen=True, slots=True)
class _Layout:
    prefix: bytes
    """Everything in front of the fixed part."""
    fixed: np.dtype[Any]
    """A structured dtype over the columns of fixed size."""
    sized: tuple[_Column, ...]
    variable: tuple[_Column, ...]
    names: tuple[str, ...]
    """In the order of the answer."""
    least: int
    """No payload is shorter."""


def encode(rows: Rows) -> list[bytes]:
    """One payload per row. Raises :class:`NotEncodable`."""
    try:
        return _encode(rows)
    except NotEncodable:
        raise
    except Exception as error:  # user code may answer with anything
        raise NotEncodable(f"{type(error).__name__}: {error}") from error


def decode(payloads: Sequence[bytes]) -> Rows:
    """The rows of at least one payload, in order.

    Raises :class:`NotDecodable`, and :class:`~mlserve.cache.merge.Unjoinable` if no arrays can hold them all.
    """
    try:
        layout = _read_layout(payloads[0])
        if len(payloads) == 1:
            return _decode_one(layout, payloads[0])
        if {payload[: len(layout.prefix)] for payload in payloads} == {layout.prefix}:
            return _decode(layout, payloads)
        parts = [(_decode_one(_read_layout(payload), payload), (place,)) for place, payload in enumerate(payloads)]
    except NotDecodable:
        raise
    except Exception as error:  # bytes from outside can be wrong in any way
        raise NotDecodable(f"{type(error).__name__}: {error}") from error
    return merged(parts)


def _encode(rows: Rows) -> list[bytes]:
    described = [(name, _type_of(column), column.shape[1:]) for name, column in rows.columns.items()]
    layout = _layout_of(tuple(described))
    heads = _heads(layout, rows)
    if not layout.variable:
        return heads
    texts = [_packed(column, rows.columns[column.name]) for column in layout.variable]
    return list(map(b"".join, zip(heads, *texts, strict=True)))


def _heads(layout: _Layout, rows: Rows) -> list[bytes]:
    """Each payload up to the end of its fixed part."""
    size = layout.fixed.itemsize
    if not size:
        return [layout.prefix] * rows.count
    table = np.zeros(rows.count, layout.fixed)
    for column in layout.sized:
        table[column.member] = rows.columns[column.name]
    raw = table.tobytes()
    return [layout.prefix + raw[start : start + size] for start in range(0, rows.count * size, size)]


def _type_of(column: Array) -> Any:
    """Its dtype, which is quick to compare; of objects, whether they are all strings."""
    kind = column.dtype.kind
    if kind != "O":
        return DType.STRING if kind == "U" else column.dtype
    return DType.STRING if set(map(type, column.ravel().tolist())) <= {str} else DType.JSON


@lru_cache(maxsize=256)
def _layout_of(described: tuple[tuple[str, Any, Shape], ...]) -> _Layout:
    head = orjson.dumps([(name, str(kind), shape) for name, kind, shape in described])
    head += b" " * (-(_PREFIX + len(head)) % _ALIGNMENT)
    if len(head) >= 2**16:
        raise NotEncodable("the names and shapes of the outputs are too long")
    return _parse(_START.pack(VERSION, len(head)) + head)


def _read_layout(payload: bytes) -> _Layout:
    version, head_bytes = _START.unpack_from(payload)
    if version != VERSION:
        raise NotDecodable(f"version {version}, expected {VERSION}")
    return _parse(payload[: _PREFIX + head_bytes])


@lru_cache(maxsize=256)
def _parse(prefix: bytes) -> _Layout:
    """Raises any exception for a head that :func:`_layout_of` does not write; makes nothing of the size it claims."""
    if len(prefix) % _ALIGNMENT:
        raise NotDecodable("the head is cut short")
    described = enumerate(orjson.loads(prefix[_PREFIX:]))
    columns = [_column(name, kind, shape, str(index)) for index, (name, kind, shape) in described]
    names = tuple([column.name for column in columns])
    if len(set(names)) != len(names):
        raise NotDecodable("two outputs of one name")
    sized = tuple([column for column in columns if column.dtype not in _VARIABLE])
    members = [(column.member, column.dtype.numpy, column.shape) for column in sized]
    variable = tuple([column for column in columns if column.dtype in _VARIABLE])
    fixed = np.dtype(members, align=True)
    least = len(prefix) + fixed.itemsize + sum([_LENGTH.size * column.elements for column in variable])
    return _Layout(prefix, fixed, sized, variable, names, least)


def _column(name: str, kind: str, shape: Sequence[int], member: str) -> _Column:
    dims = tuple(shape)
    if any(type(dim) is not int or dim < 0 for dim in dims) or (0 in dims and max(dims) > MAX_EMPTY_DIM):
        raise NotDecodable(f"a row of shape {dims}")
    return _Column(name.encode().decode(), DType(kind), dims, member, prod(dims))


def _decode(layout: _Layout, payloads: Sequence[bytes]) -> Rows:
    count, sizes = len(payloads), list(map(len, payloads))
    if min(sizes) < layout.least:
        raise NotDecodable("cut short")
    start = len(layout.prefix)
    end = start + layout.fixed.itemsize
    columns: dict[str, Array] = dict.fromkeys(layout.names, _NOTHING)
    if layout.sized:
        _fill_sized(columns, layout, b"".join([payload[start:end] for payload in payloads]), count)
    ends = [end] * count
    for column in layout.variable:
        columns[column.name], ends = _unpacked(column, payloads, ends)
    if ends != sizes:
        raise NotDecodable(_MISFIT)
    return Rows(columns, count)


def _decode_one(layout: _Layout, payload: bytes) -> Rows:
    """As :func:`_decode` of a single payload, which most requests come to, without lists around each step."""
    if len(payload) < layout.least:
        raise NotDecodable("cut short")
    start = len(layout.prefix)
    end = start + layout.fixed.itemsize
    columns: dict[str, Array] = dict.fromkeys(layout.names, _NOTHING)
    if layout.sized:
        _fill_sized(columns, layout, payload[start:end], 1)
    for column in layout.variable:
        if column.shape:
            columns[column.name], (end,) = _unpacked(column, [payload], [end])
        else:
            start = end + _LENGTH.size
            end = start + _LENGTH.unpack_from(payload, end)[0]
            columns[column.name] = array = np.empty(1, object)
            array[0] = _UNPACK_ONE[column.dtype](payload[start:end])
    if end != len(payload):
        raise NotDecodable(_MISFIT)
    return Rows(columns, 1)


def _fill_sized(columns: dict[str, Array], layout: _Layout, raw: bytes, count: int) -> None:
    table = np.frombuffer(raw, layout.fixed, count) if layout.fixed.itemsize else np.empty(count, layout.fixed)
    for column in layout.sized:
        columns[column.name] = np.ascontiguousarray(table[column.member])


_NOTHING: Final[Array] = np.empty(0)
_MISFIT: Final = "cut short, or bytes left over"


def _pack_texts(texts: Sequence[str]) -> list[bytes]:
    return [text.encode("utf-8", "surrogatepass") for text in texts]


def _unpack_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _unpack_texts(packed: Sequence[bytes]) -> list[str]:
    return [data.decode("utf-8", "surrogatepass") for data in packed]


_VARIABLE: Final = (DType.STRING, DType.JSON)
_PACK: Final[Mapping[DType, Callable[[list[Any]], list[bytes]]]] = {DType.STRING: _pack_texts, DType.JSON: pack_all}
_UNPACK: Final[Mapping[DType, Callable[[list[bytes]], list[Any]]]] = {
    DType.STRING: _unpack_texts,
    DType.JSON: unpack_all,
}
_UNPACK_ONE: Final[Mapping[DType, Callable[[bytes], Any]]] = {DType.STRING: _unpack_text, DType.JSON: unpack_plain}


def _packed(column: _Column, values: Array) -> list[bytes]:
    """The variable part of each row for one column."""
    length = _LENGTH.pack
    texts = [length(len(data)) + data for data in _PACK[column.dtype](values.ravel().tolist())]
    size = column.elements
    if size == 1:
        return texts
    return [b"".join(texts[start : start + size]) for start in range(0, len(values) * size, size or 1)] or [b""] * len(
        values
    )


def _unpacked(column: _Column, payloads: Sequence[bytes], starts: Sequence[int]) -> tuple[Array, list[int]]:
    """The column whose part of each payload begins at ``starts``, and where it ends: perhaps beyond the payload."""
    packed: list[bytes] = []
    ends = []
    length_at, length_bytes = _LENGTH.unpack_from, _LENGTH.size
    if column.elements == 1:
        for payload, start in zip(payloads, starts, strict=True):
            begin = start + length_bytes
            end = begin + length_at(payload, start)[0]
            packed.append(payload[begin:end])
            ends.append(end)
    else:
        for payload, end in zip(payloads, starts, strict=True):
            for _ in range(column.elements):
                begin = end + length_bytes
                end = begin + length_at(payload, end)[0]
                packed.append(payload[begin:end])
            ends.append(end)
    array = np.fromiter(_UNPACK[column.dtype](packed), object, len(packed))
    return (array.reshape(len(payloads), *column.shape) if column.shape else array), ends
