"""Plain values as bytes and back, each as it was: what JSON would change or refuse has a binary form of its own.

JSON carries most values and is the quickest to read. It has no NaN, no keys but strings, no tuples, no lone
surrogates, no numpy scalars; a value that does not come back from it equal is written as a tag and its parts instead,
behind a zero byte, which no JSON begins with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct, pack
from typing import Any, Final

import numpy as np
import orjson

from mlserve.types import DType

_TAGGED: Final = b"\0"
_LENGTH: Final = Struct("<I")
_DOUBLE: Final = Struct("<d")


def pack_plain(value: Any) -> bytes:
    """Raises ``TypeError`` for a value of a type that is not plain."""
    try:
        text = orjson.dumps(value)
        if orjson.loads(text) == value:
            return text
    except (TypeError, ValueError):  # orjson refuses it, or numpy will not say whether arrays are equal
        pass
    parts = [_TAGGED]
    _write(value, parts.append)
    return b"".join(parts)


def pack_all(values: Sequence[Any]) -> list[bytes]:
    """As :func:`pack_plain` of each, in half of the time where JSON carries them all."""
    try:
        texts = list(map(orjson.dumps, values))
        if orjson.loads(b"[%b]" % b",".join(texts)) == values:
            return texts
    except (TypeError, ValueError):
        pass
    return list(map(pack_plain, values))


def unpack_plain(data: bytes) -> Any:
    """Raises any exception for what :func:`pack_plain` did not write."""
    return orjson.loads(data) if data[:1] != _TAGGED else _untagged(data)


def unpack_all(packed: Sequence[bytes]) -> list[Any]:
    """As :func:`unpack_plain` of each. Each is read alone: what follows from one must not hang on its neighbours."""
    return [orjson.loads(data) if data[:1] != _TAGGED else _untagged(data) for data in packed]


def _untagged(data: bytes) -> Any:
    reader = _Reader(data)
    value = reader.value()
    if reader.at != len(data):
        raise ValueError("bytes left over")
    return value


def _write(value: Any, put: Callable[[bytes], None]) -> None:
    if value is None or isinstance(value, bool):
        put({None: b"n", False: b"f", True: b"t"}[value])
    elif isinstance(value, np.generic | np.ndarray):
        _write_array(value, put)
    elif isinstance(value, int):
        _sized(b"i", str(int(value)).encode(), put)
    elif isinstance(value, float):
        put(b"d" + _DOUBLE.pack(value))
    elif isinstance(value, str):
        _sized(b"s", value.encode("utf-8", "surrogatepass"), put)
    elif isinstance(value, bytes):
        _sized(b"b", value, put)
    elif isinstance(value, list | tuple):
        put((b"l" if isinstance(value, list) else b"u") + _LENGTH.pack(len(value)))
        for item in value:
            _write(item, put)
    elif isinstance(value, dict):
        put(b"m" + _LENGTH.pack(len(value)))
        for key, item in value.items():
            _write(key, put)
            _write(item, put)
    else:
        raise TypeError(f"{type(value).__name__} is no plain value")


def _write_array(value: Any, put: Callable[[bytes], None]) -> None:
    name = str(value.dtype)
    if name not in _ARRAY_TYPES:
        raise TypeError(f"an array of {name} is no plain value")
    put(b"g" if isinstance(value, np.generic) else b"a")
    _sized(b"", name.encode(), put)
    _sized(b"", pack(f"<{value.ndim}q", *value.shape), put)
    _sized(b"", value.tobytes(), put)


def _sized(tag: bytes, data: bytes, put: Callable[[bytes], None]) -> None:
    put(tag + _LENGTH.pack(len(data)))
    put(data)


_ARRAY_TYPES: Final = frozenset(dtype.value for dtype in DType if dtype not in (DType.STRING, DType.JSON))


class _Reader:
    """Reads forward; what is not there raises, before anything of the size it claims is made."""

    def __init__(self, data: bytes) -> None:
        self.at = 1
        self._data = data

    def value(self) -> Any:
        tag = self._take(1)
        if tag in _CONSTANTS:
            return _CONSTANTS[tag]
        if tag == b"d":
            return _DOUBLE.unpack(self._take(8))[0]
        if tag == b"i":
            return int(self._sized())
        if tag == b"s":
            return self._sized().decode("utf-8", "surrogatepass")
        if tag == b"b":
            return self._sized()
        if tag in (b"l", b"u"):
            items = [self.value() for _ in range(self._length())]
            return items if tag == b"l" else tuple(items)
        if tag == b"m":
            return {self.value(): self.value() for _ in range(self._length())}
        if tag in (b"a", b"g"):
            return self._array(scalar=tag == b"g")
        raise ValueError(f"unknown tag {tag!r}")

    def _array(self, *, scalar: bool) -> Any:
        name = self._sized().decode()
        if name not in _ARRAY_TYPES:
            raise ValueError(f"unknown dtype {name!r}")
        dims = self._sized()
        shape = Struct(f"<{len(dims) // 8}q").unpack(dims)
        array = np.frombuffer(self._sized(), DType(name).numpy).reshape(shape)
        return array[()] if scalar else array

    def _length(self) -> int:
        length: int = _LENGTH.unpack(self._take(_LENGTH.size))[0]
        return length

    def _sized(self) -> bytes:
        return self._take(self._length())

    def _take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self._data):
            raise ValueError("cut short")
        data = self._data[self.at : end]
        self.at = end
        return data


_CONSTANTS: Final = {b"n": None, b"f": False, b"t": True}
