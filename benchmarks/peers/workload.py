"""The model that every server serves, what it is asked, and what the right answers are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[np.float32]
INPUT: Final = "x"
OUTPUT: Final = "y"
FEATURES: Final = 4
CLASSES: Final = 3
HIDDEN: Final = 16
ROWS_PER_BATCH: Final = 1_000
TOLERANCE: Final = 1e-5
"""Kernels add in another order for another size of batch."""


class Model(Enum):
    """The two names the model is served under."""

    CACHED = "cached"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Case:
    """One way to ask.

    First ``connections`` ask ``different`` requests of ``rows`` rows in turn, as fast as they can; then ``pace`` of
    them arrive every second, come what may.
    """

    name: str
    model: Model
    rows: int
    different: int
    connections: int
    pace: int

    def requests(self) -> list[Array]:
        """The rows of each request; no two are alike."""
        return [rows_of(number, self.rows) for number in range(self.different)]


CACHED: Final = Case("one row, from the cache", Model.CACHED, rows=1, different=100, connections=32, pace=500)
UNCACHED: Final = Case("one row, computed", Model.PLAIN, rows=1, different=100, connections=32, pace=200)
BATCH: Final = Case(
    f"{ROWS_PER_BATCH:,} rows, computed", Model.PLAIN, rows=ROWS_PER_BATCH, different=4, connections=4, pace=10
)
CASES: Final = (CACHED, UNCACHED, BATCH)


def rows_of(number: int, count: int) -> Array:
    """Request ``number``: ``count`` rows of measurements with two decimals, the same on every machine."""
    return (np.random.default_rng([number, count]).integers(0, 1_000, (count, FEATURES)) / 100).astype(np.float32)


def write_model(path: Path) -> None:
    """A small classifier, ``x float32[-1,4] -> y float32[-1,3]``: two layers and their softmax."""
    source = np.random.default_rng(7)
    shapes = {"w1": (FEATURES, HIDDEN), "b1": (HIDDEN,), "w2": (HIDDEN, CLASSES), "b2": (CLASSES,)}
    weights = [
        numpy_helper.from_array(source.normal(0, 0.3, shape).astype(np.float32), name) for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Gemm", [INPUT, "w1", "b1"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["positive"]),
        helper.make_node("Gemm", ["positive", "w2", "b2"], ["logits"]),
        helper.make_node("Softmax", ["logits"], [OUTPUT], axis=1),
    ]
    x = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, FEATURES])
    y = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, CLASSES])
    graph = helper.make_graph(nodes, "classifier", [x], [y], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@cache
def _session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def check(path: Path, asked: Array, answered: Array) -> None:
    """Raises :class:`RuntimeError` unless ``answered`` is what ONNX Runtime itself makes of ``asked``."""
    (expected,) = _session(path).run(None, {INPUT: asked})
    if answered.shape != expected.shape or not np.allclose(answered, expected, rtol=0, atol=TOLERANCE):
        raise RuntimeError(f"a wrong answer to {asked[:1]}…: {answered[:1]}…, and not {expected[:1]}…")
