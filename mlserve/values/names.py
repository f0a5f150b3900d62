"""Which inputs were given, which are missing, and what a misspelt one was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final, NoReturn

from mlserve.errors import BadRequest
from mlserve.types import Interface
from mlserve.values.show import shown

_UNKNOWN_NAMED: Final = 3
_AVAILABLE_NAMED: Final = 20
_COMPARED: Final = 256
"""Comparing names takes time in the square of their lengths: so few unknown ones, so many candidates, so long."""


def check_names(interface: Interface, given: Iterable[str]) -> None:
    """Raises :class:`BadRequest` unless ``given`` holds every input without a default, and nothing else."""
    names = set(given)
    known = interface.by_name
    missing = [field.name for field in interface.inputs if field.name not in names and not field.has_default]
    unknown = [name for name in names if name not in known]
    if missing or unknown:
        refuse_names(interface, missing, sorted(unknown))


def refuse_names(interface: Interface, missing: Sequence[str], unknown: Sequence[str]) -> NoReturn:
    """Raises the one error for all names that are missing or unknown.

    Its text holds mly's phrase for missing fields, which is the only one of mly's texts that clients may look for.
    """
    parts = []
    if missing:
        parts.append(f"failed to build request due to missing fields: [{' '.join(missing)}]")
    if unknown:
        named = ", ".join(_with_nearest(interface, name) for name in unknown[:_UNKNOWN_NAMED])
        more = f" and {len(unknown) - _UNKNOWN_NAMED} more" if len(unknown) > _UNKNOWN_NAMED else ""
        parts.append(f"unknown field: {named}{more}, available: [{_available(interface)}]")
    raise BadRequest("; ".join(parts), field=missing[0] if missing else None)


def _with_nearest(interface: Interface, name: str) -> str:
    candidates = [field.name for field in interface.inputs[:_COMPARED]]
    near = get_close_matches(name[:64], candidates, n=1)
    return shown(name) + (f" (did you mean {near[0]!r}?)" if near else "")


def _available(interface: Interface) -> str:
    names = [field.name for field in interface.inputs]
    return " ".join(names[:_AVAILABLE_NAMED]) + (" …" if len(names) > _AVAILABLE_NAMED else "")
