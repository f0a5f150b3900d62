"""Ops of ONNX that look every element up in a table with a default: which values each one tells apart.

Only what onnxruntime's kernels do counts. Each of them reads the keys whose type is that of its input, and answers
for all other values alike.
"""

from __future__ import annotations

from typing import Any, Final

from mlserve.backends.onnx_constants import Attributes, Constants, tensor_value, texts

STRING: Final = 8
INT64: Final = 7
"""Of ``TensorProto.DataType``; the only two that these ops have kernels for, beside floats."""

Words = frozenset[str | int]


def looked_up(op: str, attributes: Attributes, dtype: int) -> Words | None:
    """The keys of a node of the domain ``ai.onnx.ml`` for an input of ``dtype``; ``None`` if it is no such lookup."""
    if dtype not in (STRING, INT64):
        return None
    if op == "LabelEncoder":
        return _label_encoder(attributes, dtype)
    if op == "CategoryMapper" or (op == "OneHotEncoder" and _zeros(attributes)):
        return _keys(attributes, "cats_strings", "cats_int64s", dtype)
    return None


def compared(constants: Constants, name: str) -> Words | None:
    """The values that the constant operand ``name`` of an ``Equal`` tells apart; ``None`` if it is not constant."""
    value = constants.value(name)
    return None if value is None else frozenset(value.reshape(-1).tolist())


def _label_encoder(attributes: Attributes, dtype: int) -> Words | None:
    if (classes := attributes.get("classes_strings")) is not None:  # opset 1: between strings and their positions
        return frozenset(texts(classes.strings)) if dtype == STRING else frozenset(range(len(classes.strings)))
    if (keys := attributes.get("keys_tensor")) is not None:
        value = tensor_value(keys.t) if keys.t.data_type == dtype else None
        return None if value is None else frozenset(value.reshape(-1).tolist())
    return _keys(attributes, "keys_strings", "keys_int64s", dtype)


def _keys(attributes: Attributes, strings: str, integers: str, dtype: int) -> Words | None:
    item: Any = attributes.get(strings if dtype == STRING else integers)
    if item is None:
        return None
    return frozenset(texts(item.strings) if dtype == STRING else item.ints)


def _zeros(attributes: Attributes) -> bool:
    """Whether an unknown category is all zeros, as it is unless told otherwise; else the op refuses it."""
    return "zeros" not in attributes or bool(attributes["zeros"].i)
