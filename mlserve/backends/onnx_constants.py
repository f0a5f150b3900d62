"""What the names of an ONNX graph or function stand for before it runs: constants, and attributes of its nodes.

Takes ``onnx`` protobuf messages, typed ``Any``: the package ships no type information.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlserve.types import Array

Attributes = Mapping[str, Any]
"""The attributes of one node by name, as ``AttributeProto``."""


class Constants:
    """The constants of one list of nodes, gathered while the nodes are read in order and decoded when asked for.

    ``attributes`` are those of the call if the nodes are a function's body: what its nodes refer to.
    """

    def __init__(self, attributes: Attributes | None = None) -> None:
        self._sources: dict[str, Any] = {}
        self._attributes = attributes or {}

    def add_initializers(self, graph: Any) -> None:
        """The initialisers of ``graph``, but for those that are also inputs: callers could feed another value."""
        fed = {info.name for info in graph.input}
        self._sources |= {tensor.name: tensor for tensor in graph.initializer if tensor.name not in fed}

    def note(self, node: Any) -> None:
        """Remember what ``node`` makes, if it is a ``Constant`` or the ``Identity`` of something constant."""
        if node.domain not in ("", "ai.onnx"):
            return
        if node.op_type == "Constant" and len(node.attribute) == 1:
            self._sources[node.output[0]] = next(iter(self.attributes_of(node).values()), None)
        elif node.op_type == "Identity":
            self.bind(node.output[0], self, node.input[0])

    def bind(self, name: str, outer: Constants, outer_name: str) -> None:
        """``name`` is what ``outer`` calls ``outer_name``, constant or not: the argument of a call."""
        if outer_name in outer._sources:
            self._sources[name] = outer._sources[outer_name]

    def attributes_of(self, node: Any) -> Attributes:
        """The node's attributes; one that refers to an attribute of the function is that, or absent if it is."""
        found = {item.name: self._attributes.get(item.ref_attr_name, item) for item in node.attribute}
        return {name: item for name, item in found.items() if not item.ref_attr_name}

    def value(self, name: str) -> Array | None:
        """The constant's value; ``None`` if ``name`` is not known to be constant, or lies in external data."""
        source = self._sources.get(name)
        if source is None:
            return None
        if type(source).__name__ == "TensorProto":
            return tensor_value(source)
        return _attribute_value(source)


def tensor_value(tensor: Any) -> Array | None:
    """A ``TensorProto`` as an array, strings as ``str``; ``None`` if it lies in external data."""
    from onnx import numpy_helper

    if tensor.data_location == tensor.EXTERNAL:
        return None
    if tensor.data_type == tensor.STRING:
        return np.array(texts(tensor.string_data), object).reshape(tuple(tensor.dims))
    value: Array = numpy_helper.to_array(tensor)
    return value


def texts(raw: Any) -> list[str]:
    """Strings of a model as our types have them: bytes that are not UTF-8 as surrogate escapes."""
    return [item.decode("utf-8", "surrogateescape") for item in raw]


def _attribute_value(item: Any) -> Array | None:
    if item.type == item.TENSOR:
        return tensor_value(item.t)
    if item.type == item.INT:
        return np.array(item.i, np.int64)
    if item.type == item.INTS:
        return np.array(item.ints, np.int64)
    if item.type == item.STRING:
        return np.array(texts([item.s])[0], object)
    if item.type == item.STRINGS:
        return np.array(texts(item.strings), object)
    return None
