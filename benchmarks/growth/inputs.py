"""The inputs of one model. The request grows with them, so a cost that does is as it should be."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Final

import onnx
from onnx import TensorProto, helper

from benchmarks.growth.axis import COMPUTED, HITS, LINEAR, Axis, Line, Target
from benchmarks.load import Load
from benchmarks.machine import server_core
from benchmarks.process import mlserve
from benchmarks.workload import body
from benchmarks.wrk import in_turn

COUNTS: Final = (1, 5, 20, 100, 500)
ROWS: Final = 100
"""Different rows, asked in turn."""
ASKED_BEFORE: Final = 3


def _open(stack: ExitStack, folder: Path) -> list[Line]:
    models = []
    for count in COUNTS:
        write_sum(folder / f"sum{count}.onnx", count)
        models.append(f"  - {{ID: hits{count}, URL: sum{count}.onnx, DataStore: memory}}\n")
        models.append(f"  - {{ID: computed{count}, URL: sum{count}.onnx}}\n")
    config = folder / "inputs.yaml"
    config.write_text(f"Models:\n{''.join(models)}Datastores: [{{ID: memory, Cache: {{SizeMB: 64}}}}]\n")
    server = stack.enter_context(mlserve(config, server_core()))
    for count in COUNTS:
        for load in ASKED_BEFORE * loads(HITS, count):
            server.ask(load.path, load.body)
    return [
        Line(
            name,
            {count: Target(server, in_turn([load.wire() for load in loads(name, count)])) for count in COUNTS},
            LINEAR,
        )
        for name in (HITS, COMPUTED)
    ]


def loads(model: str, count: int) -> list[Load]:
    """A POST for each row, of a number with four digits for each input."""
    rows = ({f"x{place}": (place * ROWS + row) % 9000 / 10 + 100 for place in range(count)} for row in range(ROWS))
    return [Load(f"/v1/api/model/{model}{count}/eval", body(row)) for row in rows]


def write_sum(path: Path, count: int) -> None:
    """A model ``x0, x1, ... float32[-1,1] -> y float32[-1,1]``, which adds them up."""
    names = [f"x{place}" for place in range(count)]
    *given, answer = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in (*names, "y")]
    graph = helper.make_graph([helper.make_node("Sum", names, ["y"])], "sum", given, [answer])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


INPUTS: Final = Axis("inputs of a model", _open)
