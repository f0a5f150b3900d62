"""The names in ``Providers``: a device, or a device and its number, such as ``cpu``, ``cuda:1``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlserve.errors import LoadError


@dataclass(frozen=True, slots=True)
class Device:
    """One entry of ``Providers``: ``text`` as it was written, ``name`` without the number, ``index`` or ``None``."""

    text: str
    name: str
    index: int | None


def parse_devices(providers: Sequence[str]) -> list[Device]:
    """``providers`` in their order. Raises :class:`LoadError` for an empty list or a number that is none."""
    if not providers:
        raise LoadError("Providers is empty: name at least one device, such as cpu")
    return [_parse(text) for text in providers]


def _parse(text: str) -> Device:
    name, colon, index = text.strip().partition(":")
    if not colon:
        return Device(text, name, None)
    if not (index.isascii() and index.isdigit()):
        raise LoadError(f"Providers: {text!r} is not a device; expected a name or name:number, such as cuda:1")
    return Device(text, name, int(index))
