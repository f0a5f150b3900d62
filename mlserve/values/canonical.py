"""Canonical rows: what the key, the model and the transformer all see in place of what callers sent.

A float with ``Precision`` is rounded, and a value that the model looks up in vain becomes the sentinel: rows that the
model cannot tell apart are one row from here on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mlserve.types import Array, InputField, Interface, Rows
from mlserve.values.folding import folding
from mlserve.values.rounding import round_half_away

Change = Callable[[Array], Array]
"""A column to its canonical form: the same array if nothing changes, else a new one."""


def canonical_rows(rows: Rows, interface: Interface) -> Rows:
    """``rows`` in canonical form; ``rows`` itself if that changes nothing. Canonical rows stay as they are."""
    columns = None
    for name, change in interface.derived(changes):
        before = rows.columns[name]
        after = change(before)
        if after is not before:
            columns = columns or dict(rows.columns)
            columns[name] = after
    return rows if columns is None else Rows(columns, rows.count)


def changes(interface: Interface) -> tuple[tuple[str, Change], ...]:
    """What is done to which input; inputs that stay as they are sent are left out."""
    found = ((field.name, _change(field)) for field in interface.inputs)
    return tuple((name, change) for name, change in found if change is not None)


def _change(field: InputField) -> Change | None:
    if field.precision is not None:
        return partial(round_half_away, digits=field.precision)
    return folding(field.lookups) if field.lookups is not None else None
