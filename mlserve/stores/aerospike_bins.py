"""What the Aerospike client can carry, and what it only seems to.

Version 19 takes a text or ``bytes`` key for a C string that ends at its first NUL, so that two keys become one; it cuts
text in bins there too; and a key of text that is not Unicode (a lone surrogate, see decision 2) ends the process. So
nothing of the kind may reach it. ``bytearray`` keys are taken whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mlserve.contracts.store import MAX_VALUE_BYTES, Bin, Record

ENTRY_BIN: Final = "mlserve"
"""Holds an entry. Not shorter: a record of somebody else must not have it by chance."""
MAX_BIN_NAME_BYTES: Final = 15
MAX_NAMESPACE_BYTES: Final = 31
MAX_SET_BYTES: Final = 63
NEVER: Final = 0xFFFFFFFF
"""The remaining life of a record that does not expire."""
_INTEGERS: Final = range(-(2**63), 2**63)

Key = tuple[str, str, str | bytearray]
"""Namespace, set and user key, as the client takes them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record to write in place of what is there. ``named``: its user key is stored with it."""

    key: Key
    bins: Mapping[str, Bin | bytes]
    ttl_s: float
    named: bool = False


def is_text(value: str) -> bool:
    """True for text that arrives as it was sent."""
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


def unfit(name: str, bins: Mapping[str, Bin]) -> str | None:
    """Why a record with these bins cannot be stored under ``name``; ``None`` if it can."""
    if not is_text(name):
        return "the key is no text that Aerospike's client can send"
    if not bins:
        return "there is nothing to store"
    for bin_name, value in bins.items():
        if not 0 < len(bin_name.encode("utf-8", "surrogatepass")) <= MAX_BIN_NAME_BYTES or not is_text(bin_name):
            return f"{bin_name!r} is no name of a bin: those have 1 to {MAX_BIN_NAME_BYTES} bytes of text"
        if isinstance(value, str) and not is_text(value):
            return f"bin {bin_name}: no text that Aerospike's client can send"
        if isinstance(value, int) and value not in _INTEGERS:
            return f"bin {bin_name}: an integer over 64 bits"
    return None


def entry(bins: Mapping[str, object]) -> bytes | None:
    """The entry in a record's bins; ``None`` for what is none of ours."""
    value = bins.get(ENTRY_BIN)
    return value if type(value) is bytes and len(value) <= MAX_VALUE_BYTES else None


def record(bins: Mapping[str, object], ttl: int) -> Record | None:
    """The record as the chain sees it: without bins of other types, and ``None`` if it is too large for it."""
    ours: dict[str, Bin] = {}
    size = 0
    for name, value in bins.items():
        # Exact types: booleans, and texts and bytes with a meaning of their own, are no values of ours.
        if type(value) is str or type(value) is int or type(value) is float:
            ours[name] = value
            size += len(value) if type(value) is str else 8
    return None if size > MAX_VALUE_BYTES else Record(ours, None if ttl == NEVER else float(ttl))
