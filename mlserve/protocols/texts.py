"""A column of an answer as JSON, one text per row, made for all rows at once wherever orjson can."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping
from itertools import chain
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

from mlserve.protocols.numbers import are_ordinary, column_text, printable_scalar
from mlserve.types import Array
from mlserve.values import count_non_finite_in, packed

_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY
_DOUBLE: Final = np.dtype(np.float64)
_OWN_LINE: Final = b",\n  "
"""Between the elements of an indented list; no JSON string holds a raw line break."""


class Texts(NamedTuple):
    """Each row's JSON is ``opening + row + closing``; ``non_finite`` numbers of them all are not finite."""

    opening: bytes
    rows: list[bytes]
    closing: bytes
    non_finite: int


def texts_of(column: Array) -> Texts:
    """The rows of ``column``, of shape ``(n,)`` scalars, wider ones nested lists.

    Raises :class:`TypeError` for an element JSON has no form for.
    """
    if column.dtype.kind in "biufVc":
        return _numbers(column)
    values = column.tolist()
    if column.ndim == 1 and values:
        kinds = set(map(type, values))
        texts = _strings(values) if kinds == {str} else _maps(values) if kinds == {dict} else None
        if texts is not None:
            return texts
    return Texts(
        b"", [orjson.dumps(_plain(value), option=_OPTIONS) for value in values], b"", count_non_finite_in(column)
    )


def _numbers(column: Array) -> Texts:
    non_finite = count_non_finite_in(column)
    if column.dtype.kind == "c":
        column = np.stack((column.real, column.imag), axis=-1)
    lists = column.ndim - 1
    if column.size:
        rows = column_text(column)[lists + 1 : -lists - 1].split(b"]" * lists + b"," + b"[" * lists)
        return Texts(b"[" * lists, rows, b"]" * lists, non_finite)
    return Texts(b"", [column_text(row) for row in column], b"", 0)


def _strings(values: list[str]) -> Texts | None:
    """``None`` if some are not UTF-8."""
    try:
        return Texts(b"", orjson.dumps(values, option=orjson.OPT_INDENT_2)[4:-2].split(_OWN_LINE), b"", 0)
    except orjson.JSONEncodeError:
        return None


def _maps(values: list[dict[Any, Any]]) -> Texts | None:
    """``None`` if some number is not ordinary, some item no number, or some key no text in UTF-8 that holds no ``},{``.

    Of numbers that are no ``float`` orjson prints by our rules or refuses.
    """
    items = list(chain.from_iterable(map(dict.values, values)))
    numbers = packed(items, _DOUBLE) if items else None
    if numbers is None or not are_ordinary(numbers):
        return None
    try:
        rows = orjson.dumps(values, option=orjson.OPT_PASSTHROUGH_DATACLASS)[2:-2].split(b"},{")
    except orjson.JSONEncodeError:
        return None
    return Texts(b"{", rows, b"}", 0) if len(rows) == len(values) else None


def _plain(value: Any) -> Any:
    """Any one value in what orjson prints by our rules."""
    if isinstance(value, str):
        return _string(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, bytes):
        return _string(value)
    if isinstance(value, float | np.floating):
        return printable_scalar(value)
    if isinstance(value, complex | np.complexfloating):
        return [printable_scalar(value.real), printable_scalar(value.imag)]
    if isinstance(value, Mapping):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(list(value)) if value.ndim else _plain(value[()])
    if value is None or isinstance(value, int | np.integer | np.bool_):
        return value
    if isinstance(value, np.generic) and value.dtype.kind == "V":
        return printable_scalar(value)
    raise TypeError(f"an answer holds a {type(value).__name__}, which has no form in JSON")


def _string(raw: bytes) -> Any:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"b64": b2a_base64(raw, newline=False).decode()}


def _key(key: Any) -> str:
    """A label as a member's name."""
    if isinstance(key, str):
        return key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(key, bool | np.bool_):
        return "true" if key else "false"
    return str(key.item() if isinstance(key, np.generic) else key)
