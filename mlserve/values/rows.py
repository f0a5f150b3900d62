"""Named plain values to :class:`~mlserve.types.Rows`: one row or a batch, by the rules of ``eval``.

The depth of a value's lists says what it is: as deep as the input's row is one row, which stands for all rows; one
deeper is a list of rows. Nothing of a request's size is made before the number of its rows is known to be allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from mlserve.errors import BadRequest, TooLarge
from mlserve.types import Array, InputField, Interface, Rows, Serving
from mlserve.values.columns import column_of, expected_of, is_pair, refused
from mlserve.values.defaults import default_row
from mlserve.values.names import check_names
from mlserve.values.nesting import depth_of
from mlserve.values.one_row import one_row
from mlserve.values.plain import plain_value
from mlserve.values.show import shown

MAX_EXPANDED_BYTES: Final = 128 * 1024 * 1024
"""The most that values standing for all rows of one request may grow to: else a small body fills the memory."""


class _Given(NamedTuple):
    """One input's value, its shape understood. ``length`` is its number of rows, ``None`` for one row for all."""

    field: InputField
    value: Any
    rank: int
    length: int | None


def rows_from_values(
    interface: Interface, values: Mapping[str, Any], batch_size: Any, max_rows: int
) -> tuple[Rows, bool]:
    """The rows that ``values`` say, and whether they are a batch.

    ``values`` holds plain values by input name. ``batch_size`` is what came under that name, unchecked, or ``None``.
    Columns are as :class:`mlserve.contracts.protocol.Call` describes them. Raises :class:`BadRequest`, and
    :class:`TooLarge` for more than ``max_rows`` rows.
    """
    if batch_size is None and (row := one_row(interface, values)) is not None:
        return row, False
    if values.keys() != interface.by_name.keys():
        check_names(interface, values)
    whole = interface.serving is Serving.WHOLE
    if batch_size is not None:
        _check_batch_size(batch_size, max_rows, whole)
    given = [_understood(field, values.get(field.name), batch_size is not None, whole) for field in interface.inputs]
    lengths = [one.length for one in given if one.length is not None]
    count = batch_size or max(lengths, default=1)
    if count > max_rows:
        raise TooLarge(f"{count} rows in one request, at most {max_rows} are taken: send them in several")
    for one in given:
        if one.length is not None and one.length not in (1, count):
            raise refused(one.field, _length_reason(one.length, count, batch_size))
    columns = {one.field.name: _column(one) for one in given}
    if count > 1:
        _expand(columns, count)
    return Rows(columns, count), batch_size is not None or bool(lengths)


def _check_batch_size(batch_size: object, max_rows: int, whole: bool) -> None:
    if whole:
        raise BadRequest("batch_size: this model answers one request with one run, so leave batch_size out")
    if isinstance(batch_size, int | float) and not isinstance(batch_size, bool) and batch_size > max_rows:
        raise TooLarge(f"batch_size is {shown(batch_size)}, at most {max_rows} rows are taken: send them in several")
    if type(batch_size) is not int or batch_size < 1:
        raise BadRequest(f"batch_size: expected a whole number from 1 to {max_rows}, got {shown(batch_size)}")


def _understood(field: InputField, value: Any, sized: bool, whole: bool) -> _Given:
    """``value`` as one row or a list of rows. Of unknown rank, it is one row unless ``sized``: ``batch_size`` came."""
    if value is None and field.has_default:
        return _Given(field, None, 0, None)
    if field.shape == () and not is_pair(field.dtype) and not whole:  # the common case, first and short
        return _Given(field, value, 0, len(value) if type(value) is list else None)
    depth = depth_of(value) - is_pair(field.dtype)
    rank = len(field.shape) if field.shape is not None else max(depth - sized, 0)
    if depth == rank >= 0:
        return _Given(field, value, rank, None)
    if depth == rank + 1 and not whole:
        return _Given(field, value, rank, len(value))
    per_row = "" if whole else ", or a list of such, one per row"
    raise refused(field, f"expected {expected_of(field, max(rank, 0))}{per_row}, got {_nested(value)}")


def _nested(value: object) -> str:
    depth = depth_of(value)
    return shown(value) if depth < 2 else f"lists nested {depth} deep"


def _length_reason(length: int, count: int, batch_size: int | None) -> str:
    expected = f"batch_size is {count}" if batch_size is not None else f"the longest list has {count}"
    got = "the list is empty" if length == 0 else f"a list of {length} rows"
    return f"{got}, {expected}: give 1 row for all, or {count}"


def _column(one: _Given) -> Array:
    field, value = one.field, one.value
    if value is None and field.has_default:
        return default_row(field)
    if one.length is not None and one.rank and field.has_default and None in value:
        row = plain_value(default_row(field)[0])
        value = [row if item is None else item for item in value]
    return column_of(field, value, rank=one.rank, rows=one.length is not None)


def _expand(columns: dict[str, Array], count: int) -> None:
    """Repeats, in place, the columns of one row; by copies, since runtimes want contiguous memory."""
    single = [name for name, column in columns.items() if len(column) == 1]
    size = count * sum(_size_bytes(columns[name]) for name in single)
    if size > MAX_EXPANDED_BYTES:
        raise TooLarge(
            f"values given once for all {count} rows would take {size} bytes, at most {MAX_EXPANDED_BYTES} are taken: "
            f"send fewer rows"
        )
    for name in single:
        columns[name] = np.repeat(columns[name], count, axis=0)


def _size_bytes(column: Array) -> int:
    text = sum(map(len, column.ravel().tolist())) if column.dtype == object else 0
    return column.nbytes + text
