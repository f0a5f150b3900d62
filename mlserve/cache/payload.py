"""The answer of one row as flat bytes, and many of them back to columns at once.

A payload is a head and the values. The head says names, dtypes and shapes; rows of one answer share it, so a batch of
them is one join and one view. Numbers stand in their own binary form; strings and plain values, which have no fixed
size, follow them with their lengths. Nothing in it is executable: what does not decode is an error, never code.

Layout: ``version (1 byte) | head length (2 bytes, little endian) | head (JSON) | fixed part | variable parts``. Spaces
behind the JSON let the fixed part begin, and numpy read it, at a multiple of 16. Each element of a column without
fixed size is ``length (4 bytes, little endian) | bytes``, column after column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from mlserve.cache.merge import merged
from mlserve.cache.payload_head import LENGTH, VERSION, Column, Head, NotDecodable, NotEncodable, head_of, read_head
from mlserve.cache.plain import pack_all, unpack_all, unpack_plain
from mlserve.types import Array, DType, Rows

__all__ = ["VERSION", "NotDecodable", "NotEncodable", "decode", "encode"]


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
        head = read_head(payloads[0])
        if len(payloads) == 1:
            return _decode_one(head, payloads[0])
        if {payload[: len(head.prefix)] for payload in payloads} == {head.prefix}:
            return _decode(head, payloads)
        parts = [(_decode_one(read_head(payload), payload), (place,)) for place, payload in enumerate(payloads)]
    except NotDecodable:
        raise
    except Exception as error:  # bytes from outside can be wrong in any way
        raise NotDecodable(f"{type(error).__name__}: {error}") from error
    return merged(parts)


def _encode(rows: Rows) -> list[bytes]:
    described = [(name, _type_of(column), column.shape[1:]) for name, column in rows.columns.items()]
    head = head_of(tuple(described))
    starts = _starts(head, rows)
    if not head.variable:
        return starts
    texts = [_packed(column, rows.columns[column.name]) for column in head.variable]
    return list(map(b"".join, zip(starts, *texts, strict=True)))


def _starts(head: Head, rows: Rows) -> list[bytes]:
    """Each payload up to the end of its fixed part."""
    size = head.fixed.itemsize
    if not size:
        return [head.prefix] * rows.count
    table = np.zeros(rows.count, head.fixed)
    for column in head.sized:
        table[column.member] = rows.columns[column.name]
    raw = table.tobytes()
    return [head.prefix + raw[start : start + size] for start in range(0, rows.count * size, size)]


def _type_of(column: Array) -> Any:
    """Its dtype, which is quick to compare; of objects, whether they are all strings."""
    kind = column.dtype.kind
    if kind != "O":
        return DType.STRING if kind == "U" else column.dtype
    return DType.STRING if set(map(type, column.ravel().tolist())) <= {str} else DType.JSON


def _decode(head: Head, payloads: Sequence[bytes]) -> Rows:
    count, sizes = len(payloads), list(map(len, payloads))
    if min(sizes) < head.least:
        raise NotDecodable("cut short")
    start = len(head.prefix)
    end = start + head.fixed.itemsize
    columns = head.blank.copy()
    if head.sized:
        _fill_sized(columns, head, b"".join([payload[start:end] for payload in payloads]), count)
    ends = [end] * count
    for column in head.variable:
        columns[column.name], ends = _unpacked(column, payloads, ends)
    if ends != sizes:
        raise NotDecodable(_MISFIT)
    return Rows(columns, count)


def _decode_one(head: Head, payload: bytes) -> Rows:
    """As :func:`_decode` of a single payload, which most requests come to, without lists around each step."""
    if len(payload) < head.least:
        raise NotDecodable("cut short")
    start = len(head.prefix)
    end = start + head.fixed.itemsize
    columns = head.blank.copy()
    if head.sized:
        _fill_sized(columns, head, payload[start:end], 1)
    for column in head.variable:
        if column.shape:
            columns[column.name], (end,) = _unpacked(column, [payload], [end])
        else:
            start = end + LENGTH.size
            end = start + LENGTH.unpack_from(payload, end)[0]
            columns[column.name] = array = np.empty(1, object)
            array[0] = _UNPACK_ONE[column.dtype](payload[start:end])
    if end != len(payload):
        raise NotDecodable(_MISFIT)
    return Rows(columns, 1)


def _fill_sized(columns: dict[str, Array], head: Head, raw: bytes, count: int) -> None:
    table = np.frombuffer(raw, head.fixed, count) if head.fixed.itemsize else np.empty(count, head.fixed)
    for column in head.sized:
        columns[column.name] = np.ascontiguousarray(table[column.member])


_MISFIT: Final = "cut short, or bytes left over"


def _pack_texts(texts: Sequence[str]) -> list[bytes]:
    return [text.encode("utf-8", "surrogatepass") for text in texts]


def _unpack_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _unpack_texts(packed: Sequence[bytes]) -> list[str]:
    return [data.decode("utf-8", "surrogatepass") for data in packed]


_PACK: Final[Mapping[DType, Callable[[list[Any]], list[bytes]]]] = {DType.STRING: _pack_texts, DType.JSON: pack_all}
_UNPACK: Final[Mapping[DType, Callable[[list[bytes]], list[Any]]]] = {
    DType.STRING: _unpack_texts,
    DType.JSON: unpack_all,
}
_UNPACK_ONE: Final[Mapping[DType, Callable[[bytes], Any]]] = {DType.STRING: _unpack_text, DType.JSON: unpack_plain}


def _packed(column: Column, values: Array) -> list[bytes]:
    """The variable part of each row for one column."""
    length = LENGTH.pack
    texts = [length(len(data)) + data for data in _PACK[column.dtype](values.ravel().tolist())]
    size = column.elements
    if size == 1:
        return texts
    return [b"".join(texts[start : start + size]) for start in range(0, len(values) * size, size or 1)] or [b""] * len(
        values
    )


def _unpacked(column: Column, payloads: Sequence[bytes], starts: Sequence[int]) -> tuple[Array, list[int]]:
    """The column whose part of each payload begins at ``starts``, and where it ends: perhaps beyond the payload."""
    packed: list[bytes] = []
    ends = []
    length_at, length_bytes = LENGTH.unpack_from, LENGTH.size
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
