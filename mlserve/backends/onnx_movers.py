"""Ops of ONNX that only move the elements of a tensor: where those of a graph's inputs end up.

Think of two runs of a graph that differ only in this: some values of its inputs stand as their sentinel in the second.
As long as nothing but movers touches them, an element of any tensor is equal in both runs, or it is such a value in
the one and its sentinel in the other. :class:`Elements` says for one tensor which places of the inputs the latter may
have come from. Tensors without any are not described at all. Knowing too little only makes the sets larger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from mlserve.backends.onnx_constants import Attributes, Constants
from mlserve.types import Array

Places = frozenset[int]
"""Numbers that stand for an input, or for one column of it."""


@dataclass(frozen=True, slots=True)
class Elements:
    """Where the elements of one tensor come from.

    ``parts`` has one entry for each position along ``axis`` (counted from 0) of a tensor with ``rank`` dimensions, or
    just one, for all elements, if ``axis`` is ``None``; the rank is then not known. ``dtype`` is a
    ``TensorProto.DataType``.
    """

    dtype: int
    parts: tuple[Places, ...]
    axis: int | None = None
    rank: int = 0

    @property
    def places(self) -> Places:
        """Those of all parts together."""
        return self.parts[0] if len(self.parts) == 1 else frozenset().union(*self.parts)


@dataclass(frozen=True, slots=True)
class Operands:
    """One node as a mover sees it. ``data`` are the tensors it moves (``None``: equal in both runs)."""

    data: Sequence[Elements | None]
    names: Sequence[str]
    outputs: int
    attributes: Attributes
    constants: Constants

    def given(self, position: int) -> bool:
        """True if the node has an operand there; optional ones may be left out, or empty."""
        return position < len(self.names) and self.names[position] != ""

    def constant(self, position: int) -> Array | None:
        """The value of an operand; ``None`` if it is not known, or not given."""
        return self.constants.value(self.names[position]) if self.given(position) else None

    def integers(self, name: str, position: int) -> list[int] | None:
        """What stands in an attribute up to some opset and is an operand from then on; ``None`` if unknown."""
        if (item := self.attributes.get(name)) is not None:
            return list(item.ints)
        value = self.constant(position)
        return None if value is None or value.dtype.kind != "i" else [int(number) for number in value.reshape(-1)]

    def integer(self, name: str, default: int) -> int:
        """An attribute."""
        item = self.attributes.get(name)
        return default if item is None else int(item.i)


@dataclass(frozen=True, slots=True)
class Mover:
    """An op. It moves the operands ``data``, and reads the others to know whereto.

    ``moves`` takes the first tensor of ``data`` that has places and gives the elements of every output, or ``None``
    if this node is no mover after all.
    """

    moves: Callable[[Elements, Operands], Sequence[Elements] | None]
    data: slice


def _anywhere(*tensors: Elements | None) -> Elements:
    """Somewhere among the elements of ``tensors``."""
    found = [item for item in tensors if item is not None]
    return Elements(found[0].dtype, (frozenset().union(*(item.places for item in found)),))


def _same(x: Elements, _: Operands) -> Sequence[Elements]:
    return [x]


def _cast(x: Elements, operands: Operands) -> Sequence[Elements] | None:
    """Only casts that keep every integer: a narrower type would take unknown values to known ones."""
    target = operands.integer("to", 0)
    if target == x.dtype:
        return [x]
    if x.dtype not in INTEGERS or target not in INTEGERS or not np.can_cast(INTEGERS[x.dtype], INTEGERS[target]):
        return None
    return [replace(x, dtype=target)]


def _reshape(x: Elements, operands: Operands) -> Sequence[Elements]:
    shape = operands.integers("shape", 1)
    if shape is not None and len(shape) == 2:
        if (x.rank, x.axis, len(x.parts)) == (2, 1, shape[1]):
            return [x]
        if shape[1] == 1:
            return [Elements(x.dtype, (x.places,), axis=1, rank=2)]
    return [_anywhere(x)]


def _flatten(x: Elements, operands: Operands) -> Sequence[Elements]:
    return [x if x.rank == 2 and x.axis == 1 and operands.integer("axis", 1) in (1, -1) else _anywhere(x)]


def _transpose(x: Elements, operands: Operands) -> Sequence[Elements]:
    if x.axis is None:
        return [x]
    item = operands.attributes.get("perm")
    order = list(range(x.rank))[::-1] if item is None else list(item.ints)
    return [replace(x, axis=order.index(x.axis)) if x.axis in order else _anywhere(x)]


def _squeeze(x: Elements, operands: Operands) -> Sequence[Elements]:
    axes = operands.integers("axes", 1)
    if x.axis is None or axes is None:
        return [_anywhere(x)]
    gone = {axis % x.rank for axis in axes}
    if x.axis in gone:
        return [_anywhere(x)]
    return [replace(x, axis=x.axis - sum(axis < x.axis for axis in gone), rank=x.rank - len(gone))]


def _unsqueeze(x: Elements, operands: Operands) -> Sequence[Elements]:
    axes = operands.integers("axes", 1)
    if x.axis is None or axes is None:
        return [_anywhere(x)]
    rank = x.rank + len(axes)
    added = {axis % rank for axis in axes}
    kept = [axis for axis in range(rank) if axis not in added]
    return [replace(x, axis=kept[x.axis], rank=rank)]


def _gather(x: Elements, operands: Operands) -> Sequence[Elements]:
    return [_pick(x, operands, operands.integer("axis", 0))]


def _array_feature_extractor(x: Elements, operands: Operands) -> Sequence[Elements]:
    """Along the last axis, whatever the shape of the indices; a vector becomes a matrix of one row."""
    return [_pick(x, operands, -1, flat=True) if x.rank > 1 else _anywhere(x)]


def _pick(x: Elements, operands: Operands, axis: int, *, flat: bool = False) -> Elements:
    indices = operands.constant(1)
    if x.axis is None or axis % x.rank != x.axis or indices is None:
        return _anywhere(x)
    count = len(x.parts)
    wanted = [int(index) for index in indices.reshape(-1)]
    if not all(-count <= index < count for index in wanted):
        return _anywhere(x)
    parts = tuple(x.parts[index] for index in wanted)
    picked = replace(x, parts=parts)
    return picked if flat or indices.ndim == 1 else _anywhere(picked)


def _slice(x: Elements, operands: Operands) -> Sequence[Elements]:
    starts, ends = operands.integers("starts", 1), operands.integers("ends", 2)
    if x.axis is None or starts is None or ends is None:
        return [_anywhere(x)]
    count = len(starts)
    axes, steps = _optional(operands, "axes", 3, range(count)), _optional(operands, "steps", 4, [1] * count)
    if axes is None or steps is None or not count == len(ends) == len(axes) == len(steps) or 0 in steps:
        return [_anywhere(x)]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if axis % x.rank == x.axis:
            x = replace(x, parts=x.parts[start:end:step])
    return [x]


def _optional(operands: Operands, name: str, position: int, default: Sequence[int]) -> Sequence[int] | None:
    return operands.integers(name, position) if operands.given(position) or name in operands.attributes else default


def _split(x: Elements, operands: Operands) -> Sequence[Elements]:
    count = operands.outputs
    axis = operands.integer("axis", 0)
    if x.axis is None or axis % x.rank != x.axis:
        return [x] * count
    whole = len(x.parts)
    largest = -(-whole // count)
    sizes = _optional(operands, "split", 1, [largest] * (count - 1) + [whole - largest * (count - 1)])
    if sizes is None or len(sizes) != count or sum(sizes) != whole or min(sizes) < 0:
        return [_anywhere(x)] * count
    ends = np.cumsum(sizes).tolist()
    return [replace(x, parts=x.parts[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


def _concat(x: Elements, operands: Operands) -> Sequence[Elements]:
    """Tracked only if the extent of every operand along the axis is."""
    axis = operands.integer("axis", 1)
    joined: list[Places] = []
    for item in operands.data:
        if item is None or item.axis is None or item.rank != x.rank or item.axis != axis % item.rank:
            return [_anywhere(*operands.data)]
        joined += item.parts
    return [replace(x, parts=tuple(joined))]


def _where(_: Elements, operands: Operands) -> Sequence[Elements]:
    return [_anywhere(*operands.data)]


_FIRST: Final = slice(0, 1)
_ALL: Final = slice(None)

INTEGERS: Final[Mapping[int, Any]] = {
    2: np.uint8,
    3: np.int8,
    4: np.uint16,
    5: np.int16,
    6: np.int32,
    7: np.int64,
    12: np.uint32,
    13: np.uint64,
}
"""The integer types among ``TensorProto.DataType``; their numbers are part of the file format."""

MOVERS: Final[Mapping[tuple[str, str], Mover]] = {
    ("", "Cast"): Mover(_cast, _FIRST),
    ("", "Concat"): Mover(_concat, _ALL),
    ("", "Flatten"): Mover(_flatten, _FIRST),
    ("", "Gather"): Mover(_gather, _FIRST),
    ("", "Identity"): Mover(_same, _FIRST),
    ("", "Reshape"): Mover(_reshape, _FIRST),
    ("", "Slice"): Mover(_slice, _FIRST),
    ("", "Split"): Mover(_split, _FIRST),
    ("", "Squeeze"): Mover(_squeeze, _FIRST),
    ("", "Transpose"): Mover(_transpose, _FIRST),
    ("", "Unsqueeze"): Mover(_unsqueeze, _FIRST),
    ("", "Where"): Mover(_where, slice(1, 3)),
    ("ai.onnx.ml", "ArrayFeatureExtractor"): Mover(_array_feature_extractor, _FIRST),
}
"""By domain and op."""
