"""What callers give, in the many forms that are convenient, as the one form that ``eval`` takes: columns by name."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

Values = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""Columns by input name (scalars alone: one row), or one mapping per row."""

_PLAIN: Final = frozenset((str, int, float, bool, type(None)))
_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY


class Given(NamedTuple):
    """``values`` by input name are plain; ``batch_size`` is set where rows were given one by one."""

    values: dict[str, Any]
    batch_size: int | None

    def body(self) -> bytes:
        """The JSON of ``eval``. Raises :class:`TypeError` for a value that JSON has no form for."""
        sized = {} if self.batch_size is None else {"batch_size": self.batch_size}
        return body_of({**sized, **self.values})


def given(values: Values | None, inputs: Mapping[str, Any]) -> Given:
    """``values`` and, for all its rows, ``inputs``. Raises :class:`TypeError` and, for no rows, :class:`ValueError`."""
    if values is None:
        return Given({name: plain(value) for name, value in inputs.items()}, None)
    size = None
    if isinstance(values, Mapping):
        columns = dict(values)
    elif all(isinstance(row, Mapping) for row in values):
        if not values:
            raise ValueError("expected at least one row, got an empty list")
        size = len(values)
        # An input that only some rows have is null in the others: its Default.
        names = dict.fromkeys(chain.from_iterable(values))
        columns = {name: [row.get(name) for row in values] for name in names}
    else:
        raise TypeError("expected a mapping of columns by name, or a list of mappings, one per row")
    if twice := sorted(columns.keys() & inputs.keys()):
        raise TypeError(f"{twice[0]!r} is given twice, among the values and by name")
    constants = inputs if size is None else {name: [value] * size for name, value in inputs.items()}
    return Given({name: plain(value) for name, value in {**columns, **constants}.items()}, size)


def plain(value: Any) -> Any:
    """``value`` with arrays and tuples as lists, and numpy's scalars as Python's."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist()) if value.dtype.kind in "OcV" else value.tolist()
    if isinstance(value, list | tuple):
        return list(value) if _PLAIN.issuperset(map(type, value)) else [plain(item) for item in value]
    if isinstance(value, complex):
        return [value.real, value.imag]
    if isinstance(value, bytes):
        return {"b64": b2a_base64(value, newline=False).decode()}
    return value


def body_of(values: Mapping[str, Any]) -> bytes:
    """``values`` in JSON. Raises :class:`TypeError`, with the name, for a value that JSON has no form for."""
    try:
        return orjson.dumps(values, option=_OPTIONS)
    except orjson.JSONEncodeError:
        return orjson.dumps({name: _printable(name, value) for name, value in values.items()}, option=_OPTIONS)


def _printable(name: str, value: Any) -> Any:
    try:
        orjson.dumps(value, option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        if isinstance(value, str):  # surrogate escapes: bytes that are not text
            return plain(value.encode("utf-8", "surrogateescape"))
        if isinstance(value, list):
            return [_printable(name, item) for item in value]
        raise TypeError(f"{name!r}: JSON has no form for {type(value).__name__} ({error})") from None
    return value
