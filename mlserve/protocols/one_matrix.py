"""A body that is one list of vectors, ``{"batch_size":2,"x":[[5.1,3.5],[4.9,3]]}``, read as one list of numbers.

Making a list for each row, looking at how long it is and taking it apart again is half of what such a body costs. Here
the marks of the text tell that its rows are even, and its numbers are read as if no brackets stood between. Everything
but plain numbers in even rows is declined by ``None``, right or wrong, and goes the careful way of
:mod:`mlserve.values.rows`: ``tests/protocols/test_one_matrix.py`` holds both to the same rows.
"""

from __future__ import annotations

from math import prod
from typing import Any, Final

from mlserve.errors import BadRequest
from mlserve.protocols import json_text
from mlserve.protocols.query import RESERVED
from mlserve.types import Array, InputField, Interface, Rows, Serving
from mlserve.values.elements import Misfit, filler

_LONG: Final = 512
"""Bytes: shorter bodies gain nothing."""
_UNMARKED: Final = bytes(set(range(256)) - set(b",]"))
_COMPACT: Final = b"],["
_SPACED: Final = b"], ["
"""What stands between two rows: compact writers have it so, Python's ``json`` so."""


def matrix_rows(body: bytes, interface: Interface, max_rows: int) -> Rows | None:
    """The rows of ``body``, where ``interface`` has one input and that is a vector; ``None`` if they are not plain."""
    if len(body) < _LONG or (field := interface.derived(_vector)) is None:
        return None
    head, _, rest = body.partition(b"[[")
    inner, closed, tail = rest.rpartition(b"]]")
    shape = _shape(inner) if closed else None
    if shape is None or shape[0] > max_rows or field.shape not in ((shape[1],), (None,)):
        return None
    if not _frames(head + b"[]" + tail, field.name, shape[0]):
        return None
    column = _numbers(inner, field, prod(shape))
    return None if column is None else Rows({field.name: column.reshape(shape)}, shape[0])


def _vector(interface: Interface) -> InputField | None:
    """The only input, if it is a vector of real numbers."""
    if len(interface.inputs) != 1 or interface.serving is Serving.WHOLE:
        return None
    (field,) = interface.inputs
    plain = field.shape is not None and len(field.shape) == 1 and (field.dtype.is_float or field.dtype.is_integer)
    return field if plain and field.name not in RESERVED else None


def _shape(inner: bytes) -> tuple[int, int] | None:
    """Rows and values in each, if the commas and brackets of ``1,2],[3,4`` tell that all rows are even."""
    row = inner.partition(b"]")[0].count(b",")
    marks = inner.translate(None, _UNMARKED) + b"],"
    count = marks.count(b"]")
    # Lengths first: rows times values may be far more than the text has bytes.
    even = len(marks) == count * (row + 2) and marks == (b"," * row + b"],") * count
    return (count, row + 1) if even else None


def _frames(frame: bytes, name: str, count: int) -> bool:
    """True if ``frame``, which holds ``[]`` for the matrix, is an object of ``name`` and no other number of rows."""
    try:
        values: Any = json_text.loads(frame)
    except BadRequest:
        return False
    # A second bracket might be a second member of that name, or a part of one.
    if type(values) is not dict or frame.count(b"[") != 1 or values.pop(name, None) != []:
        return False
    sized = values.pop("batch_size", count)
    return not values and type(sized) is int and sized == count


def _numbers(inner: bytes, field: InputField, size: int) -> Array | None:
    text = inner.replace(_COMPACT if _COMPACT in inner else _SPACED, b",")
    try:
        values = json_text.loads(b"[" + text + b"]")
        return filler(field.dtype)(values) if len(values) == size else None
    except (BadRequest, Misfit):
        return None
