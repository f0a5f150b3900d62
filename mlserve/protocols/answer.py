"""Rows of outputs as the JSON of ``data``: an object for one row, a list of objects for a batch."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import orjson

from mlserve.protocols.numbers import printable, printable_scalar
from mlserve.types import Array, Interface, Rows, Serving, TensorSpec

_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY


def data_json(answer: Rows, interface: Interface, *, batch: bool) -> bytes:
    """``answer`` as compact JSON: outputs in the interface's order, or the answer's own where a transformer decides.

    Columns of shape ``(n,)`` and ``(n,1)`` are scalars, wider ones nested lists, never cut; where the signature
    leaves the second dimension free, a row is a list even when it holds one value, so that clients need not tell.
    A model served whole answers each tensor nested by its full rank: one of shape ``[1,1]`` is ``[[x]]``, one of
    rank 0 a scalar. Non-finite numbers are ``null``, complex ones ``[re, im]``, strings that are not UTF-8
    ``{"b64": "…"}``. Raises :class:`TypeError` for an element JSON has no form for, which only a transformer or a
    python model can produce.
    """
    if interface.outputs is None:
        columns = {name: _values(column, None, interface) for name, column in answer.columns.items()}
    else:
        columns = {spec.name: _values(answer.columns[spec.name], spec, interface) for spec in interface.outputs}
    if not batch:
        return orjson.dumps({name: values[0] for name, values in columns.items()}, option=_OPTIONS)
    if not columns:
        return orjson.dumps([{}] * answer.count)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return orjson.dumps(rows, option=_OPTIONS)


def _values(column: Array, spec: TensorSpec | None, interface: Interface) -> list[Any]:
    """One JSON-ready value per row."""
    if column.ndim == 2 and column.shape[1] == 1 and interface.serving is not Serving.WHOLE and not _is_vector(spec):
        column = column[:, 0]
    kind = column.dtype.kind
    if kind == "c":
        column = np.stack((column.real, column.imag), axis=-1)
    if kind in "fVc":
        return printable(column)
    if kind in "biu":
        return column.tolist() if column.ndim == 1 else list(np.ascontiguousarray(column))
    values: list[Any] = column.tolist()
    return values if _is_text(column) else [_plain(value) for value in values]


def _is_vector(spec: TensorSpec | None) -> bool:
    return spec is not None and spec.shape is not None and len(spec.shape) == 2 and spec.shape[1] is None


def _is_text(column: Array) -> bool:
    """True if all elements are strings that are UTF-8."""
    try:
        "".join(column.ravel().tolist()).encode()
    except (TypeError, UnicodeEncodeError):
        return False
    return True


def _plain(value: Any) -> Any:
    """Any one value in what orjson prints by our rules."""
    if isinstance(value, str):
        return _string(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, bytes):
        return _string(value)
    if isinstance(value, float | np.floating):
        return printable_scalar(value)
    if isinstance(value, complex | np.complexfloating):
        return [printable_scalar(value.real), printable_scalar(value.imag)]
    if isinstance(value, Mapping):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(list(value)) if value.ndim else _plain(value[()])
    if value is None or isinstance(value, int | np.integer | np.bool_):
        return value
    if isinstance(value, np.generic) and value.dtype.kind == "V":
        return printable_scalar(value)
    raise TypeError(f"an answer holds a {type(value).__name__}, which has no form in JSON")


def _string(raw: bytes) -> Any:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"b64": b2a_base64(raw, newline=False).decode()}


def _key(key: Any) -> str:
    """A label as a member's name."""
    if isinstance(key, str):
        return key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(key, bool | np.bool_):
        return "true" if key else "false"
    return str(key.item() if isinstance(key, np.generic) else key)
