"""One input's value to one typed array, or an error that says where in the value the fault lies."""

from __future__ import annotations

from typing import Any

from mlserve.errors import BadRequest
from mlserve.types import Array, DType, InputField, Shape
from mlserve.values.elements import Misfit, filler
from mlserve.values.nesting import MAX_RANK, Uneven, flatten, position


def column_of(field: InputField, value: Any, *, rank: int, rows: bool) -> Array:
    """``value`` as an array of shape ``(n, *row)``; ``rows`` tells a list of rows of ``rank`` from one row.

    A complex number is a pair, one list deeper than its rank. Raises :class:`BadRequest`.
    """
    pair = is_pair(field.dtype)
    depth = rank + rows + pair
    if depth > MAX_RANK:
        raise refused(field, f"nested {depth} lists deep, at most {MAX_RANK} are taken")
    flat, dims = _flattened(field, value, depth, rows)
    if pair:
        dims = _without_pairs(field, dims)
    _check_dims(field, dims[1:] if rows else dims)
    try:
        column = filler(field.dtype)(flat)
    except Misfit as misfit:
        place = position(misfit.index // 2 if pair else misfit.index, dims)
        hint = "; null is for inputs with a Default" if misfit.got is None else ""
        raise refused(field, f"{misfit}{hint}", place, rows=rows) from None
    except TypeError as error:
        raise refused(field, str(error)) from None
    box = dims if rows else (1, *dims)
    return column if len(box) == 1 else column.reshape(box)


def is_pair(dtype: DType) -> bool:
    """True for complex numbers, each of which is a list of two (``DType.is_complex``, at a fifth of its cost)."""
    return dtype is DType.COMPLEX64 or dtype is DType.COMPLEX128


def refused(field: InputField, reason: str, place: tuple[int, ...] = (), *, rows: bool = False) -> BadRequest:
    """The error for ``field``; ``place`` is the element at fault, its first index being the row if ``rows``."""
    where = ""
    if rows and place:
        where, place = f", row {place[0]}", place[1:]
    if place:
        where += f", element [{','.join(map(str, place))}]"
    return BadRequest(f"field {field.name!r}{where}: {reason}", field=field.name)


def expected_of(field: InputField, rank: int) -> str:
    """What a value of this input looks like, for errors about its nesting."""
    element = "a string" if field.dtype == "string" else "true or false" if field.dtype == "bool" else "a number"
    if field.dtype.is_complex:
        element = "a pair [re, im]"
    if rank == 0:
        return f"{element} ({field.dtype})"
    lists = "a list" if rank == 1 else f"{rank} nested lists"
    return f"{lists} of shape {shape_text(field.shape)} ({field.dtype})"


def shape_text(shape: Shape | None) -> str:
    """``[-1,4]``: -1 is free."""
    return "?" if shape is None else "[" + ",".join("-1" if dim is None else str(dim) for dim in shape) + "]"


def _flattened(field: InputField, value: Any, depth: int, rows: bool) -> tuple[list[Any], tuple[int, ...]]:
    if depth == 0:
        return [value], ()
    try:
        flat, dims = flatten(value, depth)
    except Uneven as uneven:
        # How wide the levels above are is known from the first of each: up to there, all were found even.
        widths = []
        for _ in range(uneven.level):
            widths.append(len(value))
            value = value[0]
        raise refused(field, str(uneven), position(uneven.index, widths), rows=rows) from None
    if field.has_default and type(field.default) is not list and None in flat:
        flat = [field.default if leaf is None else leaf for leaf in flat]
    return flat, dims


def _without_pairs(field: InputField, dims: tuple[int, ...]) -> tuple[int, ...]:
    if dims[-1] != 2:
        raise refused(field, f"expected a pair [re, im] ({field.dtype}), got a list of {dims[-1]}")
    return dims[:-1]


def _check_dims(field: InputField, dims: tuple[int, ...]) -> None:
    if not field.shape:  # a scalar's dimensions are right by its depth, those of an unknown rank by definition
        return
    if any(want is not None and dim != want for dim, want in zip(dims, field.shape, strict=True)):
        raise refused(field, f"expected a row of shape {shape_text(field.shape)}, got {shape_text(dims)}")
