"""Which runtime gets an artefact: guessing wrong would fail with another runtime's words."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from mlserve.errors import LoadError
from mlserve.serving.backend_choice import backend_for, backend_named, companions


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (["m.onnx"], "onnx"),
        (["m.onnx", "weights.bin"], "onnx"),
        (["saved_model.pb", "variables/variables.index"], "tensorflow"),
    ],
)
def test_an_artefact_is_recognised_by_its_files(files: Collection[str], name: str) -> None:
    """No configuration is needed for what is plain to see."""
    assert backend_for(files).name == name


@pytest.mark.parametrize("files", [[], ["model.pkl"], [f"f{number}" for number in range(20)]])
def test_what_nobody_recognises_is_shown(files: list[str]) -> None:
    """The operator sees what was found and what would have been taken, in one short line."""
    with pytest.raises(LoadError, match=r"expected a \.onnx file") as failure:
        backend_for(files)
    assert all(name in str(failure.value) for name in sorted(files)[:8])
    assert len(str(failure.value)) < 300


@pytest.mark.parametrize("name", ["python", "python:module:Class", "python:a/file.py:Class"])
def test_python_targets_name_the_python_backend(name: str) -> None:
    """``Backend`` may say the class too."""
    assert backend_named(name).name == "python"


@pytest.fixture
def external(tmp_path: Path) -> Path:
    """An ONNX file whose weights lie beside it, under a suffix that nobody claims."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [1], b"\0\0\0\0", raw=True)
    column = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [column], [column], [weights])
    graph.output[0].name = "y"
    model = helper.make_model(graph)
    onnx.save(model, tmp_path / "m.model", save_as_external_data=True, location="w.bin", size_threshold=0)
    (tmp_path / "m.onnx").write_bytes((tmp_path / "m.model").read_bytes())
    return tmp_path


def test_companions_are_those_the_backend_knows(external: Path) -> None:
    """Without them the copy would not load."""
    assert list(companions(external / "m.onnx")) == ["w.bin"]


def test_companions_follow_the_configured_backend(external: Path) -> None:
    """A file with another suffix and ``Backend: onnx`` needs its weights all the same."""
    assert list(companions(external / "m.model")) == []
    assert list(companions(external / "m.model", backend="onnx")) == ["w.bin"]
    assert list(companions(external / "m.model", backend="python:file.py:Class")) == []
