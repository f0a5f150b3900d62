"""Rows of outputs as the JSON of ``data``: an object for one row, a list of objects for a batch."""

from __future__ import annotations

from typing import NamedTuple

import orjson

from mlserve.protocols.short_answer import Outputs, flat, one_column, one_row
from mlserve.protocols.texts import Texts, texts_of
from mlserve.types import Interface, Rows, Serving, TensorSpec
from mlserve.values import count_non_finite_in


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
    if not batch and (json := one_row(answer, outputs)) is not None:
        return Data(json, 0)
    if batch and (json := one_column(answer, outputs)) is not None:
        return Data(json, count_non_finite_in(answer.columns[outputs[0][0]]))
    columns = [
        (name, texts_of(flat(answer.columns[name]) if scalar else answer.columns[name])) for name, scalar in outputs
    ]
    json = _objects(columns, answer.count)
    return Data(json if batch else json[1:-1], sum([texts.non_finite for _, texts in columns]))


def _outputs(interface: Interface) -> Outputs | None:
    if interface.outputs is None:
        return None
    by_rows = interface.serving is not Serving.WHOLE
    return tuple([(spec.name, by_rows and not _is_vector(spec)) for spec in interface.outputs])


def _is_vector(spec: TensorSpec) -> bool:
    return spec.shape is not None and len(spec.shape) == 2 and spec.shape[1] is None


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
