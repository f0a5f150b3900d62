"""Small ONNX models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from mlserve.types import DType, Shape
from tests.support.zoo import Built

ELEMENTS = {
    DType.BOOL: TensorProto.BOOL,
    DType.INT8: TensorProto.INT8,
    DType.INT16: TensorProto.INT16,
    DType.INT32: TensorProto.INT32,
    DType.INT64: TensorProto.INT64,
    DType.UINT8: TensorProto.UINT8,
    DType.UINT16: TensorProto.UINT16,
    DType.UINT32: TensorProto.UINT32,
    DType.UINT64: TensorProto.UINT64,
    DType.FLOAT16: TensorProto.FLOAT16,
    DType.BFLOAT16: TensorProto.BFLOAT16,
    DType.FLOAT32: TensorProto.FLOAT,
    DType.FLOAT64: TensorProto.DOUBLE,
    DType.STRING: TensorProto.STRING,
}


def tensor(name: str, dtype: DType, shape: Shape | None) -> Any:
    """A value info; free dimensions get a name, as exporters do."""
    dims = None if shape is None else [f"d{axis}" if dim is None else dim for axis, dim in enumerate(shape)]
    return helper.make_tensor_value_info(name, ELEMENTS[dtype], dims)


def model(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    weights: Sequence[Any] = (),
    functions: Sequence[Any] = (),
    opset: int = 17,
) -> Any:
    """A ``ModelProto`` of ``nodes`` that any onnxruntime of the last years reads."""
    graph = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions)


def save(proto: Any, folder: Path, name: str = "model.onnx") -> Path:
    """``proto`` as a file in ``folder``."""
    file = folder / name
    file.write_bytes(proto.SerializeToString())
    return file


def constant(name: str, values: Any) -> Any:
    """An initializer."""
    return numpy_helper.from_array(np.asarray(values), name)


class OnnxZoo:
    """See :class:`tests.support.zoo.Zoo`."""

    dtypes = frozenset(ELEMENTS)
    non_utf8 = False
    runtime_modules = ("onnxruntime", "onnx")

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def identity(self, dtype: DType, shape: Shape) -> Built:
        proto = model(
            [helper.make_node("Identity", ["x"], ["y"])], [tensor("x", dtype, shape)], [tensor("y", dtype, shape)]
        )
        name = f"{dtype}-{'-'.join(map(str, shape))}.onnx"
        return Built(save(proto, self._folder, name))

    def scale(self, folder: Path, factor: float) -> Built:
        nodes = [
            helper.make_node("Mul", ["x", "zero"], ["nothing"]),
            helper.make_node("Cast", ["nothing"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["weights", "index"], ["factor"]),
            helper.make_node("Mul", ["x", "factor"], ["y"]),
        ]
        weights = [constant("zero", np.float32(0)), constant("weights", np.full(2**18, factor, np.float32))]
        column = (None,)
        proto = model(nodes, [tensor("x", DType.FLOAT32, column)], [tensor("y", DType.FLOAT32, column)], weights)
        return Built(save(proto, folder))

    def three(self, folder: Path) -> Built:
        nodes = [
            helper.make_node("Add", ["x", "x"], ["double"]),
            helper.make_node("ReduceSum", ["x", "axis"], ["total"], keepdims=0),
            helper.make_node("Mul", ["total", "zero"], ["nothing"]),
            helper.make_node("Cast", ["nothing"], ["none"], to=TensorProto.INT64),
            helper.make_node("Add", ["none", "three"], ["size"]),
        ]
        weights = [constant("axis", [1]), constant("zero", np.float32(0)), constant("three", np.int64(3))]
        outputs = [
            tensor("double", DType.FLOAT32, (None, 3)),
            tensor("size", DType.INT64, (None,)),
            tensor("total", DType.FLOAT32, (None,)),
        ]
        return Built(save(model(nodes, [tensor("x", DType.FLOAT32, (None, 3))], outputs, weights), folder))

    def table(self, folder: Path) -> Built:
        nodes = [helper.make_node("Gather", ["table", "x"], ["y"])]
        weights = [constant("table", np.array([10, 20, 30], np.float32))]
        proto = model(nodes, [tensor("x", DType.INT64, (None,))], [tensor("y", DType.FLOAT32, (None,))], weights)
        return Built(save(proto, folder))

    def broken(self, folder: Path) -> Sequence[Built]:
        whole = self.scale(folder, 1.0).artifact
        assert whole is not None
        contents = {"empty": b"", "noise": bytes(range(256)) * 8, "cut": whole.read_bytes()[: 2**19]}
        for name, content in contents.items():
            (folder / f"{name}.onnx").write_bytes(content)
        return [Built(folder / f"{name}.onnx") for name in contents]
