"""Reloads leave nothing behind: 300 of them, in a process that does nothing else, for each backend."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import orjson
import pytest
from onnx import helper

from mlserve.types import DType
from tests.support.zoo.onnx import constant, model, save, tensor
from tests.support.zoo.python import write_model

ROOT = Path(__file__).parents[2]
SETTLED, LAST = 30, 300
WINDOW = 5
"""What allocators keep differs from one reload to the next; the median of this many says where memory stands."""
GROWTH = 0.05
WEIGHTS = 2**16
"""Floats in a version: 256 KiB. 270 versions that stayed would be 67 MiB, more than ``GROWTH`` allows any backend."""
PASSING = 10
"""What may be open for the moment (a folder being listed, a thread on its way out); one a reload would be 270."""
TIMEOUT_S = 300
"""A minute for TensorFlow on two idle cores; the rest is for machines that have other things to do."""

Write = Callable[[Path, int], None]


def write_onnx(folder: Path, number: int) -> None:
    """``y = x + number``, and weights that have to be kept."""
    nodes = [
        helper.make_node("ReduceMax", ["weights"], ["number"], keepdims=0),
        helper.make_node("Add", ["x", "number"], ["y"]),
    ]
    weights = [constant("weights", np.full(WEIGHTS, number, np.float32))]
    columns = [tensor(name, DType.FLOAT32, (None,)) for name in ("x", "y")]
    save(model(nodes, columns[:1], columns[1:], weights), folder)


def write_tensorflow(folder: Path, number: int) -> None:
    """A Keras model with lookup tables; what is told apart is a file that nothing reads."""
    shutil.copytree(ROOT / "examples/models/penguins_keras", folder, dirs_exist_ok=True)
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "number").write_text(str(number))


def write_python(folder: Path, number: int) -> None:
    """A class that makes its weights when it is loaded."""
    body = f"""
    def load(self, path): self.weights = np.full({WEIGHTS}, {number}, np.float32)
    def predict(self, inputs): return {{"y": inputs["x"] + self.weights[0]}}
    """
    write_model(folder, {"x": "float32[-1]"}, {"y": "float32[-1]"}, body)


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize(
    ("write", "artifact", "link", "url"),
    [
        pytest.param(write_onnx, "model.onnx", "model.onnx", "model.onnx", id="onnx"),
        pytest.param(write_tensorflow, ".", "model", "model", id="tensorflow"),
        pytest.param(write_python, "model.py", "model.py", "python:model.py:Model", id="python"),
    ],
)
def test_memory_is_where_it_was(tmp_path: Path, write: Write, artifact: str, link: str, url: str) -> None:
    """Something of each replaced version (memory, a thread, a file, a module, a copy, a series) stayed for good."""
    versions = tmp_path / "versions"
    targets = tmp_path / "targets"
    targets.mkdir()
    for number in range(LAST + 1):
        folder = versions / f"{number:03}"
        folder.mkdir(parents=True)
        write(folder, number)
        (targets / f"{number:03}").symlink_to(folder / artifact)
    config = tmp_path / "config.yaml"
    # Looking every 10 ms finds a version sooner than events do, which are gathered for a while.
    config.write_text(f"Models: [{{ID: m, URL: '{url}', PollInterval: 10ms}}]\n")
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.support.reloads",
            config,
            tmp_path / link,
            targets,
            *map(str, (*around(SETTLED), *around(LAST))),
        ],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        check=True,
        timeout=TIMEOUT_S - 10,
    )

    samples = {sample["reloads"]: sample for sample in map(orjson.loads, done.stdout.splitlines())}
    early, late = ([samples[number] for number in around(mark)] for mark in (SETTLED, LAST))
    grown = middle(late, "resident_bytes") / middle(early, "resident_bytes") - 1
    assert grown <= GROWTH, f"resident memory grew by {grown:.1%} from reload {SETTLED} to {LAST}: {[*early, *late]}"
    kept = {what: middle(late, what) - middle(early, what) for what in early[0].keys() - {"reloads", "resident_bytes"}}
    assert max(kept.values()) <= PASSING, f"from reload {SETTLED} to {LAST}, more by: {kept}"


def around(mark: int) -> range:
    """The reloads up to ``mark`` that stand for it."""
    return range(mark - WINDOW + 1, mark + 1)


def middle(samples: Sequence[Mapping[str, int]], what: str) -> float:
    return median(sample[what] for sample in samples)
