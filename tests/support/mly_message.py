"""Requests as mly's Go client writes them, byte for byte: strings raw, floats as the shortest text of their float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

Value = str | bytes | int | float
"""What the client has calls for: ``bytes`` is a Go string that is not UTF-8."""


def one_row(values: Mapping[str, Value], key: bytes) -> bytes:
    """Inputs in the order of the caller's calls; an empty ``key`` is not sent."""
    members = [_member(name, _text(value)) for name, value in values.items()]
    return _object([*members, *([_member("cache_key", _quoted(key))] if key else [])])


def batch(size: int, columns: Mapping[str, Sequence[Value]], keys: Sequence[bytes], rows: Sequence[int]) -> bytes:
    """The rows at places ``rows`` of a batch of ``size``, which has one of ``keys`` for each of its rows.

    A list of one stands for all rows, and is sent as it is whichever of them are missing.
    """
    sent = len(rows)
    members = [_member("batch_size", b"%d" % sent)]
    for name, column in columns.items():
        picked = column if len(column) == 1 else [column[row] for row in rows]
        assert len(column) in (1, size), name
        members.append(_member(name, _list([_text(value) for value in picked])))
    return _object([*members, _member("cache_key", _list([_quoted(keys[row]) for row in rows]))])


def raw(text: str | bytes) -> bytes:
    """A Go string."""
    return text if isinstance(text, bytes) else text.encode()


def float_text(value: float) -> bytes:
    """Without exponent; what is not finite stands as Go prints it, which is no JSON."""
    narrow = np.float32(value)
    if np.isnan(narrow):
        return b"NaN"
    if np.isinf(narrow):
        return b"+Inf" if narrow > 0 else b"-Inf"
    return np.format_float_positional(narrow, unique=True, trim="-").encode()


def _text(value: Value) -> bytes:
    if isinstance(value, str | bytes):
        return _quoted(raw(value))
    return b"%d" % value if isinstance(value, int) else float_text(value)


def _quoted(text: bytes) -> bytes:
    return b'"%b"' % text


def _list(texts: Sequence[bytes]) -> bytes:
    return b"[%b]" % b",".join(texts)


def _member(name: str, value: bytes) -> bytes:
    return b"%b:%b" % (_quoted(name.encode()), value)


def _object(members: Sequence[bytes]) -> bytes:
    return b"{%b}\n" % b",".join(members)
