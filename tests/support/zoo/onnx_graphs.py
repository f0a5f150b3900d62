"""Random small ONNX graphs over columns of words and numbers, made of the ops that lookups pass through or end in."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mlserve.types import Array, DType
from tests.support.zoo.onnx import constant, model, tensor

ROWS = 3
WORDS = ["", "a", "b", "c", "é"]
NUMBERS = [1, 2, 3, -1, 300]
SENTINELS = {DType.STRING: "[UNK]", DType.INT64: 0, DType.INT32: 0}
UNKNOWN = {DType.STRING: ["z", "zz"], DType.INT64: [7, 2**32 + 1], DType.INT32: [7, 257]}


def pool(dtype: DType) -> list[Any]:
    """What constants are drawn from; the sentinel seldom, for it spoils all folding."""
    return (WORDS if dtype is DType.STRING else NUMBERS) * 3 + [SENTINELS[dtype]]


class Growing:
    """A graph under construction. Each tensor is known by name, with an array of its type and shape for three rows."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.inputs: dict[str, tuple[DType, int]] = {}
        self.tensors: dict[str, Array] = {}
        self.outputs: list[Any] = []

    def build(self) -> Any:
        """A ``ModelProto``."""
        inputs = [
            tensor(name, dtype, (None, width) if width else (None,)) for name, (dtype, width) in self.inputs.items()
        ]
        return model(self.nodes, inputs, self.outputs, self.weights, opset=19)

    def feeds(self) -> dict[str, Array]:
        """Known values, unknown ones and sentinels: ``ROWS`` rows of each input."""
        made = {}
        for name, (dtype, _) in self.inputs.items():
            like = self.tensors[name]
            some = st.sampled_from([*pool(dtype), *UNKNOWN[dtype] * 4])
            values = self.draw(st.lists(some, min_size=like.size, max_size=like.size))
            made[name] = np.array(values, like.dtype).reshape(like.shape)
        return made

    def enter(self) -> None:
        """One more input, ``[N]`` or ``[N, width]``."""
        name = f"x{len(self.inputs)}"
        dtype, width = self.draw(st.sampled_from(list(SENTINELS))), self.draw(st.sampled_from([3, 2, 1, 0]))
        self.inputs[name] = dtype, width
        self.tensors[name] = np.zeros((ROWS, width) if width else (ROWS,), dtype.numpy)

    def grow(self) -> None:
        """One more node over any tensor there is."""
        name = self.draw(st.sampled_from(sorted(self.tensors)))
        self.draw(st.sampled_from([self.move, self.pick, self.join, self.look]))(name, self.tensors[name])

    def end(self) -> None:
        """What nothing has used yet is looked up, or becomes an output; else hardly a graph would answer."""
        used = {name for node in self.nodes for name in node.input}
        for name in sorted(self.tensors.keys() - used):
            self.look(name, self.tensors[name])

    def move(self, name: str, x: Array) -> None:
        """All elements of ``x``, in another shape or order."""
        axis = self.draw(st.integers(-x.ndim, x.ndim - 1))
        order = self.draw(st.permutations(range(x.ndim)))
        shape = self.draw(st.sampled_from([(-1,), (-1, 1), (-1, x.shape[-1])]))
        op = self.draw(st.sampled_from(["Transpose", "Reshape", "Flatten", "Unsqueeze", "Squeeze", "Cast", "Identity"]))
        if op == "Transpose":
            self._tensor(op, [name], x.transpose(order), perm=order)
        elif op == "Reshape":
            self._tensor(op, [name, self._weight(shape)], x.reshape(shape))
        elif op == "Flatten":
            self._tensor(op, [name], x.reshape(x.shape[0], -1))
        elif op == "Unsqueeze":
            self._tensor(op, [name, self._weight([axis])], np.expand_dims(x, axis))
        elif op == "Squeeze" and x.ndim > 1 and x.shape[axis] == 1:
            self._tensor(op, [name, self._weight([axis])], x.squeeze(axis))
        elif op == "Cast" and x.dtype == np.int32:
            self._tensor(op, [name], x.astype(np.int64), to=TensorProto.INT64)
        else:
            self._tensor("Identity", [name], x)

    def pick(self, name: str, x: Array) -> None:
        """Some elements of ``x``, mostly whole columns."""
        axis = self.draw(st.sampled_from([-1, -1, *range(-x.ndim, x.ndim)]))
        last = x.shape[axis] - 1
        several = st.lists(st.integers(0, last), min_size=1, max_size=3)
        op = self.draw(st.sampled_from(["Gather", "ArrayFeatureExtractor", "Split", "Slice"]))
        if op == "Gather":
            index: Any = self.draw(st.integers(-1, last) | several if x.ndim > 1 else several)
            self._tensor(op, [name, self._weight(index)], x.take(index, axis), axis=axis)
        elif op == "ArrayFeatureExtractor" and x.ndim > 1 and axis in (-1, x.ndim - 1):
            index = self.draw(several)
            self._tensor(op, [name, self._weight(index)], x.take(index, axis), domain="ai.onnx.ml")
        elif op == "Split" and last > 0:
            size = self.draw(st.integers(1, last))
            names = [f"s{len(self.nodes)}", f"r{len(self.nodes)}"]
            sizes = self._weight([size, last + 1 - size])
            self.nodes.append(helper.make_node(op, [name, sizes], names, axis=axis))
            self.tensors |= dict(zip(names, np.split(x, [size], axis), strict=True))
        else:
            start, step = self.draw(st.integers(0, last)), self.draw(st.sampled_from([1, 2, -1]))
            end = self.draw(st.integers(start + 1, last + 2)) if step > 0 else -last - 2
            cut = [slice(None)] * x.ndim
            cut[axis] = slice(start, end, step)
            bounds = [self._weight([number]) for number in (start, end, axis, step)]
            self._tensor("Slice", [name, *bounds], x[tuple(cut)])

    def join(self, name: str, x: Array) -> None:
        """With another tensor of its type and shape: side by side, or chosen element by element."""
        others = sorted(other for other, y in self.tensors.items() if (y.dtype, y.shape) == (x.dtype, x.shape))
        other = self.draw(st.sampled_from(others))
        axis = self.draw(st.integers(-x.ndim, x.ndim - 1))
        if self.draw(st.booleans()):
            self._tensor("Concat", [name, other], np.concatenate([x, x], axis), axis=axis)
        else:
            chosen = f"c{len(self.nodes)}"
            self.nodes.append(helper.make_node("Equal", [name, self._weight(self._some(x)[:1])], [chosen]))
            self._tensor("Where", [chosen, name, other], x)

    def look(self, name: str, x: Array) -> None:
        """Up in a table or among constants; now and then by something that reads the value itself."""
        kind = "strings" if x.dtype == object else "int64s"
        keys = self._some(x)
        lookups = ["OneHotEncoder", "LabelEncoder"] * 4 if x.dtype != np.int32 else ["Equal"]
        op = self.draw(st.sampled_from([*lookups, "Equal", "Equal", "read"]))
        if op == "OneHotEncoder":
            categories = {f"cats_{kind}": sorted(set(keys.tolist()))}
            self._output(op, [name], TensorProto.FLOAT, x.ndim + 1, domain="ai.onnx.ml", **categories)
        elif op == "LabelEncoder":
            table = {f"keys_{kind}": keys.tolist(), "values_int64s": range(5, 5 + len(keys))}
            self._output(op, [name], TensorProto.INT64, x.ndim, domain="ai.onnx.ml", **table)
        elif op == "Equal":
            self._output(op, [self._weight(keys[:1]), name], TensorProto.BOOL, x.ndim)
        elif kind == "strings":
            self._output("Identity", [name], TensorProto.STRING, x.ndim)
        else:
            self._output("Neg", [name], helper.np_dtype_to_tensor_dtype(x.dtype), x.ndim)

    def _some(self, x: Array) -> Array:
        """Constants of the type of ``x``."""
        dtype = DType.STRING if x.dtype == object else DType.INT64
        return np.array(self.draw(st.lists(st.sampled_from(pool(dtype)), min_size=1, max_size=3)), x.dtype)

    def _weight(self, values: Any) -> str:
        self.weights.append(constant(f"w{len(self.weights)}", values))
        return f"w{len(self.weights) - 1}"

    def _tensor(self, op: str, inputs: list[str], like: Array, **settings: Any) -> None:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **settings))
        self.tensors[name] = like

    def _output(self, op: str, inputs: list[str], element: int, rank: int, **settings: Any) -> None:
        name = f"y{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **settings))
        self.outputs.append(helper.make_tensor_value_info(name, element, [f"{name}_{axis}" for axis in range(rank)]))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Any, dict[str, Array]]:
    """A ``ModelProto``, and rows for it."""
    growing = Growing(draw)
    for _ in range(draw(st.integers(1, 2))):
        growing.enter()
    for _ in range(draw(st.integers(0, 6))):
        growing.grow()
    growing.end()
    return growing.build(), growing.feeds()
