"""Rows from their keys: what was asked can be asked again, of another version.

The reverse of ``key.py`` where that has one: a digest does not tell its tensor. Auxiliary inputs that are not in the
key come back as zeros or empty text; no answer may depend on them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlserve.types import Array, DType, InputField, Interface, Rows


def rows_from_keys(interface: Interface, keys: Sequence[str]) -> Rows | None:
    """The rows that have these keys; ``None`` if there are none, or an input stands in them as more than a scalar."""
    fields = interface.inputs
    in_key = [field for field in fields if not field.auxiliary or field.wildcard]
    if not keys or not fields or any(field.shape != () for field in in_key):
        return None
    segments = list(zip(*(key.split("/") for key in keys), strict=True))
    columns = {}
    for field, texts in zip(fields, segments, strict=True):
        columns[field.name] = _column(field, texts) if field in in_key else _blank(field, len(keys))
    return Rows(columns, len(keys))


def _column(field: InputField, texts: Sequence[str]) -> Array:
    if field.dtype is DType.STRING:
        column = np.empty(len(texts), object)
        column[:] = [text.replace("%2F", "/").replace("%25", "%") for text in texts]
        return column
    if field.dtype is DType.BOOL:
        return np.array([text == "true" for text in texts])
    if field.dtype.is_integer:
        return np.array([int(text) for text in texts], field.dtype.numpy)
    convert = complex if field.dtype.is_complex else float
    return np.array([convert(text) for text in texts]).astype(field.dtype.numpy)


def _blank(field: InputField, count: int) -> Array:
    shape = (count, *(dim or 1 for dim in field.shape or ()))
    if field.dtype is DType.STRING:
        return np.full(shape, "", object)
    return np.zeros(shape, field.dtype.numpy)
