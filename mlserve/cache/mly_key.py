"""The key that mly's clients make of a row, where that key is the row's alone.

Segments joined by ``/``, one per input in order: the word or number itself, a float with its ``Precision`` in decimals
or with ten, nothing for an auxiliary input that is not in the key. Unlike ours (``key.py``) it escapes nothing and cuts
floats, so rows that our rule tells apart would share a key: at most one of them has it here, the one that the key
reads back to. Rows that no client of mly can have sent have none either. So two rows with one key are one row.

Two places rely on that: the layout of records that those clients read, and the check of a ``cache_key`` that a caller
sends. ``Wildcard`` and vocabularies are as ``meta/config`` and ``meta/dictionary`` tell clients, where an input that
stands exactly counts as ``Wildcard``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from struct import Struct
from typing import Final

import numpy as np
import orjson

from mlserve.types import Array, DType, InputField, Interface, Rows, Serving

EXACT_DECIMALS: Final = 10
"""What mly writes of a float without ``Precision``."""

_INTEGERS: Final = (DType.INT32, DType.INT64)
_FLOATS: Final = (DType.FLOAT32, DType.FLOAT64)
_KNOWN: Final = (DType.STRING, *_INTEGERS, *_FLOATS)
"""What mly's server takes, less bool, for which its clients have no call."""

_FLOAT32: Final = Struct("<f")

Segments = Callable[[Array], Sequence[str | None]]
"""A column to the segments of its rows; ``None`` where a row has none."""


def mly_keys(interface: Interface, rows: Rows) -> list[str | None]:
    """One key per row, ``None`` for a row that has none. The rows are as the model sees them: rounded and folded."""
    if not rows.count or interface.derived(no_mly_key) is not None:
        return [None] * rows.count
    parts = [segments(rows.columns[name]) for name, segments in interface.derived(_columns)]
    # A model without inputs has one row and the empty key, which clients do not send.
    return [_joined(row) for row in zip(*parts, strict=True)] if parts else [None] * rows.count


def no_mly_key(interface: Interface) -> str | None:
    """Why no row of this model has a key of mly's, in words for a person; ``None`` if rows may have one."""
    if interface.serving is Serving.WHOLE:
        return "the model is not served by rows"
    for field in interface.inputs:
        if not _is_in_key(field):
            continue
        if field.shape != ():
            return f"input {field.name!r} is not one value per row, as mly's clients send it"
        if field.dtype not in _KNOWN:
            return f"input {field.name!r} is {field.dtype}; mly's clients send {', '.join(_KNOWN)}"
    return None


def _is_in_key(field: InputField) -> bool:
    return field.wildcard or not field.auxiliary


def _columns(interface: Interface) -> list[tuple[str, Segments]]:
    alone = len(interface.inputs) == 1
    return [(field.name, _segments_of(field, alone=alone)) for field in interface.inputs]


def _segments_of(field: InputField, *, alone: bool) -> Segments:
    if not _is_in_key(field):
        return lambda column: [""] * len(column)
    if field.dtype is DType.STRING:
        return _whole_texts if alone else _parts
    if field.dtype in _INTEGERS:
        return lambda column: list(map(str, column.tolist()))
    if field.precision is None or field.wildcard:  # mly looks at Wildcard first
        return _ten_decimals
    digits = field.precision
    return lambda column: [None if value is None else f"{value:.{digits}f}" for value in _as_clients_hold(column)]


def _joined(segments: Sequence[str | None]) -> str | None:
    texts = [text for text in segments if text is not None]
    return "/".join(texts) or None if len(texts) == len(segments) else None


def _whole_texts(column: Array) -> Sequence[str | None]:
    texts: list[str] = column.tolist()
    return texts if is_utf8("".join(texts)) else [text if is_utf8(text) else None for text in texts]


def _parts(column: Array) -> Sequence[str | None]:
    """Texts that cannot be taken for two."""
    return [None if text is None or "/" in text else text for text in _whole_texts(column)]


def is_utf8(text: str) -> bool:
    """Whether a store can take ``text`` as text: bytes that are not UTF-8 stand in it as lone surrogates."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _ten_decimals(column: Array) -> Sequence[str | None]:
    return [None if value is None else _exact(value) for value in _as_clients_hold(column)]


def _exact(value: float) -> str | None:
    """A float32 that reads back from its decimals."""
    text = f"{value:.{EXACT_DECIMALS}f}"
    (again,) = _FLOAT32.unpack(_FLOAT32.pack(float(text)))
    return text if again == value else None


def _as_clients_hold(column: Array) -> Sequence[float | None]:
    """The float32 that a client has sent if this came of it, widened; ``None`` where none can have.

    They send the shortest text of a float32. A double is what such a text says, or it is not theirs.
    """
    if column.dtype == np.float32:
        return [value if isfinite(value) else None for value in column.tolist()]
    with np.errstate(over="ignore"):
        narrow = column.astype(np.float32)
    sent = orjson.loads(orjson.dumps(narrow, option=orjson.OPT_SERIALIZE_NUMPY))  # null: not finite
    triples = zip(column.tolist(), narrow.tolist(), sent, strict=True)
    return [held if said == value else None for value, held, said in triples]
