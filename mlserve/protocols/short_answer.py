"""The JSON of ``data`` by the shortest ways: what nearly every answer is.

One row of plain values is one object for orjson; one column of numbers is the text of them all with names put between.
Both decline by ``None`` what needs more care, right or wrong, so nothing here decides how a value is printed:
:mod:`mlserve.protocols.texts` does, and ``tests/protocols/test_short_answer.py`` holds all ways to the same bytes.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from mlserve.protocols.numbers import LARGE, SMALL, column_text, is_ordinary
from mlserve.types import Array, Rows

_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY
_FEW: Final = 64
"""Elements of a row that are sooner looked at one by one."""

Outputs = tuple[tuple[str, bool], ...]
"""Names in order; True where a column of shape ``(n,1)`` is one of scalars."""


def one_row(answer: Rows, outputs: Outputs) -> bytes | None:
    """The object of one row whose numbers are all finite; ``None`` if some value needs more care than orjson takes."""
    row: dict[str, Any] = {}
    for name, scalar in outputs:
        column = answer.columns[name]
        kind = column.dtype.kind
        if column.size != 1 or column.ndim > (2 if scalar else 1):
            if kind not in "biuf" or not _is_plain_vector(column):
                return None
            row[name] = column[0]
            continue
        value = column.item()
        if kind == "f":
            if not is_ordinary(value) or column.itemsize == 2:
                return None
            if column.itemsize == 4:
                value = column[0, 0] if column.ndim == 2 else column[0]  # knows its own shortest text
        elif kind not in "biu" and type(value) is not str and not _is_plain_map(value):
            return None
        row[name] = value
    try:
        return orjson.dumps(row, option=_OPTIONS)
    except orjson.JSONEncodeError:  # text that is not UTF-8, numbers of another byte order or not in line
        return None


def one_column(answer: Rows, outputs: Outputs) -> bytes | None:
    """The list of objects that hold one number or one list of numbers each; ``None`` for all other answers."""
    if len(outputs) != 1:
        return None
    ((name, scalar),) = outputs
    column = flat(answer.columns[name]) if scalar else answer.columns[name]
    if column.dtype.kind not in "biufV" or not 0 < column.ndim < 3 or not column.size:
        return None
    opening = b"{" + orjson.dumps(name) + b":"
    rows = column_text(column)[1:-1]
    if column.ndim == 1:
        return b"[" + opening + rows.replace(b",", b"}," + opening) + b"}]"
    return b"[" + rows.replace(b"]", b"]}").replace(b"[", opening + b"[") + b"]"


def flat(column: Array) -> Array:
    """A column of shape ``(n,1)`` as one of scalars, others as they are."""
    return column[:, 0] if column.ndim == 2 and column.shape[1] == 1 else column


def _is_plain_map(value: Any) -> bool:
    """True for a dict that orjson prints by our rules: of ``str`` to ordinary ``float``, such as a classifier's."""
    if type(value) is not dict:
        return False
    for key, item in value.items():
        if type(key) is not str or type(item) is not float:
            return False
        if not (SMALL <= item < LARGE or -LARGE < item <= -SMALL or item == 0):  # is_ordinary, at half its cost
            return False
    return True


def _is_plain_vector(column: Array) -> bool:
    """True for one list of few numbers, none of which orjson would print by other rules than ours."""
    if column.ndim < 2 or not 0 < column.size <= _FEW:
        return False
    return column.dtype.kind in "biu" or (column.itemsize > 2 and all(map(is_ordinary, column.ravel().tolist())))
