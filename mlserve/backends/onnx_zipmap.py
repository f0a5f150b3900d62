"""Classifiers without ``ZipMap``, by which skl2onnx ends them: the matrix before it, and its labels, say the same.

onnxruntime gives what ``ZipMap`` makes as a dict of widened floats per row, which costs more than all the rest of a
small model's run. Takes ``onnx`` protobuf messages, typed ``Any``: the package ships no type information.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Final

import numpy as np

from mlserve.backends.onnx_constants import texts
from mlserve.backends.onnx_graph import scopes
from mlserve.backends.onnx_types import shortest
from mlserve.types import Array

_STANDARD: Final = ("", "ai.onnx")
_LEARNED: Final = "ai.onnx.ml"
_FLOAT: Final = 1
"""``TensorProto.FLOAT``: what ``ZipMap`` takes, by its specification."""
_BYTES: Final = re.compile("[\ud800-\udfff]")
"""Of labels that are not UTF-8. onnxruntime fails to read them out, in words of its own."""

Labels = tuple[str, ...]
"""Of the columns of a matrix."""


def drop_zip_maps(model: Any) -> dict[str, Labels]:
    """Make each output of ``model`` that a ``ZipMap`` ends in the matrix it is made from, under the same name.

    Gives the labels of those outputs, by name. Changes ``model`` (a ``ModelProto``) in place. Whatever is not plain is
    left as it is: onnxruntime knows what it does, or why it refuses it.
    """
    if not any(item.domain in _STANDARD for item in model.opset_import):
        return {}  # Identity would be of no known version
    if any(function.domain in (*_STANDARD, _LEARNED) for function in model.functions):
        return {}  # ZipMap may be something else
    read = {name for scope in scopes(model) for node in scope.node for name in node.input}
    outputs = {info.name: info for info in model.graph.output if info.type.HasField("sequence_type")}
    found: dict[str, Labels] = {}
    for node in model.graph.node:
        name = node.output[0] if len(node.output) == 1 else ""
        if (node.domain, node.op_type) != (_LEARNED, "ZipMap") or name not in outputs or name in read:
            continue
        labels = _labels(node)
        if labels is not None:
            _become_identity(node, outputs[name])
            found[name] = labels
    for info in [info for info in model.graph.value_info if info.name in found]:
        model.graph.value_info.remove(info)
    return found


def labelled(matrix: Array, labels: Labels) -> Array:
    """Rows of ``matrix`` (float32, ``[N, C]`` or ``[C]``), as ``ZipMap`` and ``maps_reader`` would give them.

    Raises :class:`ValueError` if they have not one number for each of ``labels``.
    """
    if matrix.ndim not in (1, 2) or matrix.shape[-1] != len(labels):
        raise ValueError(f"ZipMap has {len(labels)} labels, for a tensor of shape {list(matrix.shape)}")
    maps = _maps(shortest(matrix.ravel()), labels)
    rows = np.empty(len(maps), object)
    rows[:] = maps
    return rows


def _maps(numbers: list[float], labels: Labels) -> list[dict[str, float]]:
    if len(numbers) == len(labels):  # one row, as most requests have
        return [dict(zip(labels, numbers, strict=True))]
    blank = dict.fromkeys(labels, 0.0)
    maps = [blank.copy() for _ in range(len(numbers) // len(labels))]  # and filled: half the time of dict() for each
    for place, label in enumerate(labels):
        for row, number in zip(maps, numbers[place :: len(labels)], strict=True):
            row[label] = number
    return maps


def _labels(node: Any) -> Labels | None:
    """In the order that answers have them. onnxruntime sorts them, and keeps the last of two that are alike."""
    if len(node.attribute) != 1:
        return None
    (attribute,) = node.attribute
    if attribute.name == "classlabels_strings" and _ascends(attribute.strings):
        names = tuple(texts(attribute.strings))
        return None if _BYTES.search("".join(names)) else names
    if attribute.name == "classlabels_int64s" and _ascends(attribute.ints):
        return tuple(map(str, attribute.ints))
    return None


def _ascends(labels: Iterable[Any]) -> bool:
    kept = list(labels)
    return bool(kept) and all(one < other for one, other in pairwise(kept))


def _become_identity(node: Any, output: Any) -> None:
    """onnxruntime takes such nodes out of the graph; until then they keep the names of both sides apart."""
    node.op_type, node.domain = "Identity", ""
    del node.attribute[:]
    output.type.Clear()
    output.type.tensor_type.elem_type = _FLOAT
