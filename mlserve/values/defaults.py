"""What stands for an input that a caller leaves out."""

from __future__ import annotations

from math import prod
from typing import Final

import numpy as np

from mlserve.types import Array, InputField
from mlserve.values.columns import column_of, refused, shape_text

_LARGEST_ROW: Final = 2**24
"""Elements. A default is written by an operator; this only keeps a slip from taking all memory."""


def default_row(field: InputField) -> Array:
    """``field.default`` as one row, of shape ``(1, *row)``; a scalar default fills a row whose shape is fixed.

    Raises :class:`~mlserve.errors.BadRequest` if it does not fit the field. Call it once where interfaces are made:
    then no caller of the model meets that error. The field must have a default.
    """
    rank = len(field.shape) if field.shape is not None else 0
    if rank == 0 or type(field.default) is list:
        return column_of(field, field.default, rank=rank, rows=False)
    fixed = [dim for dim in field.shape or () if dim is not None]
    if len(fixed) < rank or prod(fixed) > _LARGEST_ROW:
        raise refused(field, f"its Default must be a list, a whole row of shape {shape_text(field.shape)}")
    scalar = InputField(field.name, field.dtype, shape=())
    return np.broadcast_to(column_of(scalar, field.default, rank=0, rows=False), (1, *fixed)).copy()
