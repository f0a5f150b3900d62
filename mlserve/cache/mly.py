"""mly's layout: records in Aerospike that its Go clients read and its servers write.

A record stands under the key that those clients make of the row, as text (``mly_key.py``). It has a bin for each
output, named after it (a string, an integer, or a double, to which narrower floats are widened), and the integer bin
``dictHash``, which tells the version that answered; clients take a record without it for good for ever. Further bins
break clients that read into a plain struct, so none are added.

What is written reads back bit for bit, or is not written. Doubles in bins hold infinities and NaN; a NaN whose bits do
not survive the widening does not fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mlserve.cache.layout import Damaged, Expired, Stale, Stored
from mlserve.cache.mly_key import is_utf8, mly_keys, no_mly_key
from mlserve.cache.payload import NotDecodable, decode, encode
from mlserve.contracts.store import MAX_NAME_BYTES, MAX_VALUE_BYTES, Bin, Record
from mlserve.types import Array, DType, Interface, Rows, TensorSpec

DICT_HASH: Final = "dictHash"
MAX_BIN_NAME_BYTES: Final = 15
"""Aerospike's own limit."""

_WRITTEN_ONLY: Final = (
    "written for mly's clients alone: a transformer decides the outputs, so the server does not know the types of bins"
)
_INT64: Final = np.iinfo(np.int64)


def unfit(interface: Interface) -> str | None:
    """Why no row of this model fits this layout, in words for a person; ``None`` if rows may fit."""
    reason = no_mly_key(interface)
    if reason is not None:
        return reason
    if not interface.dict_hash:
        return "it has no dictHash, without which clients would take its answers for good for ever"
    reasons = (_unfit_output(spec) for spec in interface.outputs or ())
    return next((reason for reason in reasons if reason is not None), None)


class MlyLayout:
    """Implements ``Layout[str, Record]`` for one version.

    Where a transformer decides the outputs, their types are not known: records are written for the clients, not read.
    A record without an end to its life, or with a later one, counts as one that has ``longest_life_s`` left. Raises
    ``ValueError`` for an interface that is :func:`unfit`.
    """

    def __init__(self, interface: Interface, *, longest_life_s: float) -> None:
        reason = unfit(interface)
        if reason is not None or interface.dict_hash is None:
            raise ValueError(f"no row of this model fits into mly's records: {reason}")
        self.written_only = None if interface.outputs is not None else _WRITTEN_ONLY
        self._interface = interface
        self._dict_hash = interface.dict_hash
        self._outputs = [_Output.of(spec) for spec in interface.outputs or ()]
        self._bins = {DICT_HASH, *(output.name for output in self._outputs)}
        self._longest_life_s = longest_life_s

    def names(self, keys: Sequence[bytes], rows: Rows) -> list[str | None]:
        """mly's keys, where a row has one that Aerospike keeps apart from all others."""
        return [key if key is not None and _is_name(key) else None for key in mly_keys(self._interface, rows)]

    def read(self, key: bytes, value: Record, now: float) -> Stored:
        """Merged and foreign records are :class:`Damaged`; the age of a record is not told."""
        bins = value.bins
        found = bins.get(DICT_HASH)
        if type(found) is not int or found != self._dict_hash:
            raise Stale(f"{DICT_HASH} is {found!r}, expected {self._dict_hash}")
        if self.written_only is not None:
            raise Damaged(self.written_only)
        if bins.keys() != self._bins:
            raise Damaged(f"bin {min(bins.keys() ^ self._bins)!r} is missing, or one too many")
        ttl_s = self._longest_life_s if value.ttl_s is None else min(value.ttl_s, self._longest_life_s)
        if ttl_s <= 0:
            raise Expired(f"its time was up {-ttl_s:.0f} s ago")
        return Stored(self._payload(bins), ttl_s, None)

    def write(self, key: bytes, payload: bytes, now: float, life_s: float) -> Record | None:
        """``None`` for values that no bin holds as they are, or not beside the others in one record."""
        if len(payload) > MAX_VALUE_BYTES:
            return None
        try:
            columns = decode([payload]).columns
        except NotDecodable:
            return None
        bins: dict[str, Bin] = {DICT_HASH: self._dict_hash}
        for name, column in columns.items():
            value = _bin_of(column)
            if value is None or _unfit_name(name) is not None:
                return None
            bins[name] = value
        if self.written_only is None and not self._reads_back(bins, payload):
            return None
        return Record(bins, life_s)

    def _reads_back(self, bins: Mapping[str, Bin], payload: bytes) -> bool:
        try:
            return bins.keys() == self._bins and self._payload(bins) == payload
        except Damaged:
            return False

    def _payload(self, bins: Mapping[str, Bin]) -> bytes:
        columns = {output.name: output.column(bins[output.name]) for output in self._outputs}
        (payload,) = encode(Rows(columns, 1))
        if len(payload) > MAX_VALUE_BYTES:
            raise Damaged(f"an answer of {len(payload)} bytes, expected at most {MAX_VALUE_BYTES}")
        return payload


@dataclass(frozen=True, slots=True)
class _Output:
    """One output, and what its bin may hold: values of ``kind``; integers within ``integers``."""

    name: str
    dtype: DType
    numpy: np.dtype[Any]
    shape: tuple[int, ...]
    """Of a column that holds one row."""
    kind: type[Bin]
    integers: range

    @classmethod
    def of(cls, spec: TensorSpec) -> _Output:
        dtype, shape = spec.dtype, (1,) * len(spec.shape or ())
        if not dtype.is_integer:
            return cls(spec.name, dtype, dtype.numpy, shape, float if dtype.is_float else str, range(0))
        limits = np.iinfo(dtype.numpy)
        return cls(spec.name, dtype, dtype.numpy, shape, int, range(limits.min, limits.max + 1))

    def column(self, value: Bin) -> Array:
        """One row, of the output's own type. Raises :class:`Damaged` for what is no value of it."""
        column = np.empty(self.shape, self.numpy)
        if type(value) is self.kind and (self.kind is not int or value in self.integers):
            with np.errstate(all="ignore"):  # a double may be too large or too small for a narrower float
                column.fill(value)
            if column.item() == value or value != value:
                return column
        raise Damaged(f"bin {self.name!r} holds {value!r:.50}, expected {self.dtype}")


def _unfit_output(spec: TensorSpec) -> str | None:
    if not spec.shape or spec.shape[1:] not in ((), (1,)):
        return f"output {spec} is not one value per row"
    if not (spec.dtype is DType.STRING or spec.dtype.is_integer or spec.dtype.is_float):
        return f"output {spec.name!r} is {spec.dtype}; records hold strings, integers and floats"
    return _unfit_name(spec.name)


def _unfit_name(name: str) -> str | None:
    if name == DICT_HASH:
        return f"output {name!r} has the name of the bin that tells the version"
    if not name or not _is_text(name):
        return f"output {name!r} has a name that no bin can have"
    size = len(name.encode())
    if size > MAX_BIN_NAME_BYTES:
        return f"output {name!r} has a name of {size} bytes; bins have names of at most {MAX_BIN_NAME_BYTES}"
    return None


def _is_name(key: str) -> bool:
    return _is_text(key) and len(key.encode()) <= MAX_NAME_BYTES


def _is_text(text: str) -> bool:
    """Aerospike's client takes text to end at its first zero byte, and rows would share what stands in front of it."""
    return "\0" not in text and is_utf8(text)


def _bin_of(column: Array) -> Bin | None:
    """The value of a column of one row; ``None`` if no bin holds it. mly knows no bool."""
    if column.size != 1 or column.ndim > 2:
        return None
    value = column.item()
    if type(value) is int:
        return value if _INT64.min <= value <= _INT64.max else None
    if type(value) is str:
        return value if _is_text(value) else None
    return value if type(value) is float else None
