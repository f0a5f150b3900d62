"""Rows of outputs as the JSON of ``data``: an object for one row, a list of objects for a batch."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

from mlserve.protocols.numbers import is_ordinary
from mlserve.protocols.texts import Texts, is_plain_map, texts_of
from mlserve.types import Array, Interface, Rows, Serving, TensorSpec

_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY


class Data(NamedTuple):
    """``json`` is compact. ``non_finite`` numbers of the answer became ``null`` in it."""

    json: bytes
    non_finite: int


def data_json(answer: Rows, interface: Interface, *, batch: bool) -> Data:
    """``answer`` in JSON: outputs in the interface's order, or the answer's own where a transformer decides.

    Columns of shape ``(n,)`` and ``(n,1)`` are scalars, wider ones nested lists, never cut; where the signature
    leaves the second dimension free, a row is a list even when it holds one value, so that clients need not tell.
    A model served whole answers each tensor nested by its full rank: one of shape ``[1,1]`` is ``[[x]]``, one of
    rank 0 a scalar. Non-finite numbers are ``null``, complex ones ``[re, im]``, strings that are not UTF-8
    ``{"b64": "…"}``. Raises :class:`TypeError` for an element JSON has no form for, which only a transformer or a
    python model can produce.
    """
    outputs = interface.derived(_outputs)
    if outputs is None:
        scalar = interface.serving is not Serving.WHOLE
        outputs = tuple([(name, scalar) for name in answer.columns])
    if not batch and (text := _one_row(answer, outputs)) is not None:
        return Data(text, 0)
    columns = [
        (name, texts_of(_flat(answer.columns[name]) if scalar else answer.columns[name])) for name, scalar in outputs
    ]
    json = _objects(columns, answer.count)
    return Data(json if batch else json[1:-1], sum([texts.non_finite for _, texts in columns]))


_Outputs = tuple[tuple[str, bool], ...]
"""Names in order; True where a column of shape ``(n,1)`` is one of scalars."""


def _outputs(interface: Interface) -> _Outputs | None:
    if interface.outputs is None:
        return None
    by_rows = interface.serving is not Serving.WHOLE
    return tuple([(spec.name, by_rows and not _is_vector(spec)) for spec in interface.outputs])


def _is_vector(spec: TensorSpec) -> bool:
    return spec.shape is not None and len(spec.shape) == 2 and spec.shape[1] is None


def _flat(column: Array) -> Array:
    return column[:, 0] if column.ndim == 2 and column.shape[1] == 1 else column


def _one_row(answer: Rows, outputs: _Outputs) -> bytes | None:
    """The object of one row whose values orjson prints by our rules; ``None`` if some value needs more care."""
    row: dict[str, Any] = {}
    for name, scalar in outputs:
        column = answer.columns[name]
        if column.size != 1 or column.ndim > (2 if scalar else 1):
            return None
        kind, value = column.dtype.kind, column.item()
        if kind == "f":
            if not is_ordinary(value) or column.itemsize == 2:
                return None
            if column.itemsize == 4:
                value = column[0, 0] if column.ndim == 2 else column[0]  # knows its own shortest text
        elif kind not in "biu" and type(value) is not str and not is_plain_map(value):
            return None
        row[name] = value
    try:
        return orjson.dumps(row, option=_OPTIONS)
    except orjson.JSONEncodeError:  # text that is not UTF-8
        return None


def _objects(columns: list[tuple[str, Texts]], count: int) -> bytes:
    """A list of ``count`` objects. The texts of all columns are laid between what stands before each of them."""
    if not columns or not count:
        return b"[" + b",".join([b"{}"] * count) + b"]"
    names = [orjson.dumps(name) + b":" + texts.opening for name, texts in columns]
    ends = [texts.closing for _, texts in columns]
    before = [ends[-1] + b"},{" + names[0]]
    before += [end + b"," + name for end, name in zip(ends, names[1:], strict=False)]
    step = 2 * len(columns)
    pieces = [b""] * (step * count)
    for place, (_, texts) in enumerate(columns):
        pieces[2 * place :: step] = [before[place]] * count
        pieces[2 * place + 1 :: step] = texts.rows
    pieces[0] = b"[{" + names[0]
    pieces.append(ends[-1] + b"}]")
    return b"".join(pieces)
