"""Operations that put elements of tensors elsewhere and never look at them.

Functions here take TensorFlow's ``NodeDef`` messages, typed ``Any``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mlserve.types import Array


@dataclass(frozen=True, slots=True)
class Place:
    """An element that every row of an input has; ``column`` is its place in the row, ``None`` stands for all."""

    name: str
    column: int | None = None


@dataclass(frozen=True, slots=True)
class Elements:
    """A tensor of elements of inputs, in positions that no input decides, perhaps among elements of other origin.

    ``columns`` is known for an input itself of shape ``[rows, columns]``, as long as nothing has moved.
    """

    places: frozenset[Place]
    columns: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A ``Const`` node. Equal to itself only: comparing weights would cost more than it could save."""

    node: Any

    def read(self) -> Array:
        """Its value; strings as ``bytes`` in an object array."""
        from tensorflow import make_ndarray

        value: Array = make_ndarray(self.node.attr["value"].tensor)
        return value


@dataclass(frozen=True, slots=True)
class Table:
    """A node of the graph that makes a lookup table; asking it for one of ``forbidden`` is an error."""

    node: str
    forbidden: tuple[Constant, ...] = ()


Value = Elements | Constant | Table | None
"""What is known of a tensor before any request; ``None``: nothing, but that it holds no input's elements."""

_IN_PLACE: Final = ("EnsureShape", "Identity", "IdentityN", "PlaceholderWithDefault", "PreventGradient", "StopGradient")
_FIRST, _ALL = slice(0, 1), slice(None)
_OPERANDS: Final = {
    **dict.fromkeys(_IN_PLACE, _FIRST),
    "BroadcastTo": _FIRST,
    "Concat": slice(1, None),
    "ConcatV2": slice(0, -1),
    "ExpandDims": _FIRST,
    "Gather": _FIRST,
    "GatherNd": _FIRST,
    "GatherV2": _FIRST,
    "IdentityN": _ALL,
    "Pack": _ALL,
    "Reshape": _FIRST,
    "ReverseV2": _FIRST,
    "Select": slice(1, 3),
    "SelectV2": slice(1, 3),
    "Slice": _FIRST,
    "Split": slice(1, 2),
    "SplitV": _FIRST,
    "Squeeze": _FIRST,
    "StridedSlice": _FIRST,
    "Tile": _FIRST,
    "Transpose": _FIRST,
    "Unpack": _FIRST,
}
"""Which operands are moved. The others decide where to, so an input among them is read."""


def moved_operands(node: Any) -> slice:
    """Which of the operands of ``node`` it moves without a look at them: none of most operations."""
    if node.op == "Cast":
        return _FIRST if _widens(node) else slice(0)
    return _OPERANDS.get(node.op, slice(0))


def move(node: Any, operands: Sequence[Value]) -> Sequence[Value]:
    """The outputs of ``node``, one of :func:`moved_operands`; no fewer than it has, but for those nothing is known of.

    An element goes to the same place whatever it is, so what held of the operands' elements holds of the outputs'.
    """
    moved = operands[moved_operands(node)]
    if node.op in _IN_PLACE:
        return moved
    places = frozenset[Place]().union(*(value.places for value in moved if isinstance(value, Elements)))
    if not places:
        return ()
    if node.op == "Cast":
        return moved
    columns = _columns(node, operands)
    if columns is not None:
        places = frozenset(Place(place.name, column) for place in places for column in columns)
    outputs = max(1, int(node.attr["num"].i), int(node.attr["num_split"].i))
    return (Elements(places),) * outputs


def _widens(cast: Any) -> bool:
    """True if every integer of the old type stays what it is in the new one."""
    from tensorflow import as_dtype

    old, new = cast.attr["SrcT"].type, cast.attr["DstT"].type
    if not old or not new:  # a parameter of the function around it
        return False
    old, new = as_dtype(old), as_dtype(new)
    return bool(old.is_integer and new.is_integer and np.can_cast(old.as_numpy_dtype, new.as_numpy_dtype))


def _columns(node: Any, operands: Sequence[Value]) -> Sequence[int] | None:
    """The columns that ``node`` takes of an input ``[rows, columns]``; ``None`` if it takes of all, or who knows."""
    whole = operands[0]
    if not isinstance(whole, Elements) or whole.columns is None:
        return None
    constants = [value.read() for value in operands[1:] if isinstance(value, Constant)]
    if len(constants) < len(operands) - 1:
        return None
    if node.op == "GatherV2" and not node.attr["batch_dims"].i and int(constants[1]) in (1, -1):
        return [int(index) for index in constants[0].flat if 0 <= index < whole.columns]
    if node.op == "StridedSlice":
        return _sliced(node, *constants, columns=whole.columns)
    return None


def _sliced(node: Any, begin: Array, end: Array, strides: Array, *, columns: int) -> Sequence[int] | None:
    """``x[:, a:b:c]``, ``x[:, a]`` and ``x[..., a]``; see ``strided_slice_op.cc`` for the masks."""
    begins, ends, shrinks, new_axes, ellipses = (
        int(node.attr[f"{mask}_mask"].i) for mask in ("begin", "end", "shrink_axis", "new_axis", "ellipsis")
    )
    second = 0b10
    if len(begin) != 2 or new_axes or ellipses & second:
        return None
    first, step = int(begin[1]), int(strides[1])
    if shrinks & second:
        return [first % columns] if -columns <= first < columns else None
    return range(columns)[None if begins & second else first : None if ends & second else int(end[1]) : step]
