"""The head of a payload: what an answer's outputs are called, of what type and shape, and so where its values stand.

Rows of one answer have one head, letter by letter, and so have those of most answers of a version: a head is worked out
once and then remembered by its bytes.

``version (1 byte) | length (2 bytes, little endian) | JSON``, the JSON ``[[name, type, shape of a row], ...]`` with
spaces behind it, so that what follows begins at a multiple of 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from struct import Struct
from typing import Any, Final

import numpy as np
import orjson

from mlserve.types import Array, DType, Shape

VERSION: Final = 1
MAX_EMPTY_DIM: Final = 2**16
"""The largest other dimension of a row that has no elements: its bytes do not bound what a reader would print."""

_START: Final = Struct("<BH")
_PREFIX: Final = _START.size
LENGTH: Final = Struct("<I")
"""What stands in front of each value without fixed size."""

_ALIGNMENT: Final = 16
_VARIABLE: Final = (DType.STRING, DType.JSON)


class NotEncodable(Exception):
    """An answer holds values that no payload can carry; such a model is not cached."""


class NotDecodable(Exception):
    """Bytes that are no payload of this version."""


@dataclass(frozen=True, slots=True)
class Column:
    """One output."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    member: str
    """Its name in the structured dtype: output names may be anything."""
    elements: int
    """Of one row."""


@dataclass(frozen=True, slots=True)
class Head:
    """What :func:`head_of` writes and :func:`read_head` reads, worked out."""

    prefix: bytes
    """Its bytes: everything in front of the fixed part."""
    fixed: np.dtype[Any]
    """A structured dtype over the columns of fixed size."""
    sized: tuple[Column, ...]
    variable: tuple[Column, ...]
    blank: dict[str, Array]
    """All names in the order of the answer, each without values yet: to be copied."""
    least: int
    """No payload is shorter."""


@lru_cache(maxsize=256)
def head_of(described: tuple[tuple[str, Any, Shape], ...]) -> Head:
    """Of names, types (:class:`DType`, or numpy's own) and shapes of a row. Raises :class:`NotEncodable` and others."""
    text = orjson.dumps([(name, str(kind), shape) for name, kind, shape in described])
    text += b" " * (-(_PREFIX + len(text)) % _ALIGNMENT)
    if len(text) >= 2**16:
        raise NotEncodable("the names and shapes of the outputs are too long")
    return _parse(_START.pack(VERSION, len(text)) + text)


def read_head(payload: bytes) -> Head:
    """That of ``payload``. Raises :class:`NotDecodable`, and any exception for foreign bytes."""
    version, head_bytes = _START.unpack_from(payload)
    if version != VERSION:
        raise NotDecodable(f"version {version}, expected {VERSION}")
    return _parse(payload[: _PREFIX + head_bytes])


@lru_cache(maxsize=256)
def _parse(prefix: bytes) -> Head:
    """Raises any exception for a head that :func:`head_of` does not write; makes nothing of the size it claims."""
    if len(prefix) % _ALIGNMENT:
        raise NotDecodable("the head is cut short")
    described = enumerate(orjson.loads(prefix[_PREFIX:]))
    columns = [_column(name, kind, shape, str(index)) for index, (name, kind, shape) in described]
    blank: dict[str, Array] = {column.name: np.empty(0) for column in columns}
    if len(blank) != len(columns):
        raise NotDecodable("two outputs of one name")
    sized = tuple([column for column in columns if column.dtype not in _VARIABLE])
    members = [(column.member, column.dtype.numpy, column.shape) for column in sized]
    variable = tuple([column for column in columns if column.dtype in _VARIABLE])
    fixed = np.dtype(members, align=True)
    least = len(prefix) + fixed.itemsize + sum([LENGTH.size * column.elements for column in variable])
    return Head(prefix, fixed, sized, variable, blank, least)


def _column(name: str, kind: str, shape: Sequence[int], member: str) -> Column:
    dims = tuple(shape)
    if any(type(dim) is not int or dim < 0 for dim in dims) or (0 in dims and max(dims) > MAX_EMPTY_DIM):
        raise NotDecodable(f"a row of shape {dims}")
    return Column(name.encode().decode(), DType(kind), dims, member, prod(dims))
