"""The keys that mly's Go client makes, from nothing but the two documents it has fetched.

Written from the description of that client and not with the server's own code, so that the two are held to each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np

from tests.support.mly_message import Value, raw

Document = Mapping[str, Any]


class KeyRule:
    """``dictionary`` is ``None`` for a model that has none."""

    def __init__(self, config: Document, dictionary: Document | None) -> None:
        self._fields = [_Field(entry, _layer(dictionary, entry["Name"])) for entry in config["Inputs"]]

    def key(self, values: Mapping[str, Value]) -> bytes:
        """Of one row, whatever the order of ``values``."""
        return b"/".join([field.segment(values[field.name]) for field in self._fields])

    def keys(self, size: int, columns: Mapping[str, Sequence[Value]]) -> list[bytes]:
        """Of a batch: a list of one stands for every row."""
        rows = [
            {name: column[row if len(column) > 1 else 0] for name, column in columns.items()} for row in range(size)
        ]
        return [self.key(row) for row in rows]

    def sent(self, name: str, value: Value) -> Value:
        """What goes into the request: floats rounded as in the key."""
        field = next((field for field in self._fields if field.name == name), None)
        return value if field is None or not isinstance(value, float) else field.rounded(value)


class _Field:
    """One input, and the words it is folded by."""

    def __init__(self, entry: Document, layer: Document | None) -> None:
        self.name: str = entry["Name"]
        self._wildcard = entry.get("Wildcard", False)
        self._precision: int = entry.get("Precision", 0)
        self._layer = layer

    def segment(self, value: Value) -> bytes:
        if isinstance(value, float):
            return self._of_float(value)
        own, unknown, words = raw(value) if not isinstance(value, int) else b"%d" % value, b"[UNK]", "Strings"
        if isinstance(value, int):
            unknown, words = b"0", "Ints"
        if self._wildcard:
            return own
        if self._precision:
            return unknown
        if self._layer is None:
            return b""
        known = self._layer[words] or ()
        return own if (value if isinstance(value, int) else own) in _raw_words(known) else unknown

    def rounded(self, value: float) -> float:
        """Halves away from zero, in double, back to float32."""
        if self._wildcard or not self._precision:
            return value
        exact = Decimal(float(np.float32(value))) * 10**self._precision
        return float(np.float32(float(exact.to_integral_value(ROUND_HALF_UP)) / 10**self._precision))

    def _of_float(self, value: float) -> bytes:
        if self._wildcard or (self._layer is not None and not self._precision):
            return b"%.10f" % float(np.float32(value))
        return b"%.*f" % (self._precision, self.rounded(value)) if self._precision else b""


def _raw_words(words: Sequence[Any]) -> set[Any]:
    return {word.encode() if isinstance(word, str) else word for word in words}


def _layer(dictionary: Document | None, name: str) -> Document | None:
    layers = (dictionary or {}).get("Layers") or ()
    return next((layer for layer in layers if layer["Name"] == name), None)
