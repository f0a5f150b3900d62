"""Models in Python: reloading the file, the signature a person writes, what predict may return, errors by line."""

from __future__ import annotations

import sys
import weakref
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from mlserve.backends.python import PythonBackend
from mlserve.backends.python_results import coerce_outputs
from mlserve.backends.python_spec import parse_signature, parse_spec
from mlserve.contracts.backend import LoadOptions
from mlserve.errors import BadRequest, LoadError
from mlserve.types import DType, Signature, TensorSpec
from tests.support.zoo import Built
from tests.support.zoo.python import write_model

FLOATS = {"x": "float32[-1]"}
ONE = {"x": np.array([1], np.float32)}
ECHO = "def predict(self, inputs): return {'y': inputs['x']}"


def load(built: Built) -> Any:
    return PythonBackend().load(built.artifact, built.options)


def source(folder: Path, text: str, target: str = "model.py:Model") -> Built:
    file = folder / "model.py"
    file.write_text(dedent(text).lstrip(), encoding="utf-8")
    return Built(file, LoadOptions(target=target))


def test_a_changed_file_is_really_loaded_again(tmp_path: Path) -> None:
    """A reload would serve the old code, or change it under the version that still serves."""
    old = load(write_model(tmp_path, FLOATS, {"y": "float32[-1]"}, "def predict(self, inputs): return {'y': 2.0}"))
    new = load(write_model(tmp_path, FLOATS, {"y": "float32[-1]"}, "def predict(self, inputs): return {'y': 3.0}"))
    assert (old.infer(ONE)["y"].tolist(), new.infer(ONE)["y"].tolist()) == ([2], [3])
    assert old.runtime != new.runtime
    old.close()
    new.close()


def test_closing_leaves_nothing_behind(tmp_path: Path) -> None:
    """Each reload would leave a module and a model in memory."""
    closed: list[str] = []
    before = set(sys.modules)
    text = f"{ECHO}\ndef close(self): self.log.append('closed')"
    model = load(write_model(tmp_path, FLOATS, {"y": "float32[-1]"}, text))
    assert len(set(sys.modules) - before) == 1
    model._instance.log = closed
    instance = weakref.ref(model._instance)
    model.close()
    assert closed == ["closed"]
    assert instance() is None
    assert set(sys.modules) == before


def test_a_module_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed packages could not bring models; the hint for one that is absent would be missing."""
    monkeypatch.syspath_prepend(str(tmp_path))
    write_model(tmp_path, FLOATS, {"y": "float32[-1]"}, ECHO, "installed_model")
    model = load(Built(None, LoadOptions(target="installed_model:Model")))
    assert model.infer(ONE)["y"].tolist() == [1]
    assert "installed_model.py" in model.runtime
    model.close()
    del sys.modules["installed_model"]
    with pytest.raises(LoadError, match=r"no module 'absent_model'.*path/inner\.py:Class"):
        load(Built(None, LoadOptions(target="absent_model.inner:Model")))
    (tmp_path / "half_model.py").write_text("\n\nimport absent_library\n", encoding="utf-8")
    with pytest.raises(LoadError, match=r"ModuleNotFoundError: No module named 'absent_library' \(half_model\.py:3\)"):
        load(Built(None, LoadOptions(target="half_model:Model")))


def test_the_class_gets_its_artefact_and_may_tell_its_signature_late(tmp_path: Path) -> None:
    """A model could not read its weights, or its shape from them."""
    text = """
    from mlserve.types import DType, Signature, TensorSpec

    class Model:
        deterministic = False
        loop_safe = True

        def load(self, path):
            self.name = path.name

        def signature(self):
            return Signature((), (TensorSpec(self.name, DType.FLOAT32, ()),))

        def predict(self, inputs):
            return {self.name: 1.5}
    """
    model = load(source(tmp_path, text))
    assert model.signature == Signature((), (TensorSpec("model.py", DType.FLOAT32, ()),))
    assert model.infer({})["model.py"] == np.float32(1.5)
    assert (model.deterministic, model.loop_safe) == (False, True)
    model.close()


def test_an_authors_file_means_what_it_means_elsewhere(tmp_path: Path) -> None:
    """Our own ``from __future__`` imports would turn an author's annotations, which libraries read, into text."""
    text = """
    class Model:
        factor: int = 2
        signature = {"inputs": {}, "outputs": {"y": "bool[]"}}

        def predict(self, inputs):
            return {"y": Model.__annotations__["factor"] is int}
    """
    model = load(source(tmp_path, text))
    assert model.infer({})["y"].tolist() is True
    model.close()


def test_the_file_is_found_inside_a_folder_that_was_copied(tmp_path: Path) -> None:
    """The file beside the configuration would run, not the version that was copied."""
    built = write_model(tmp_path, FLOATS, {"y": "float32[-1]"}, ECHO)
    for target in ("model.py:Model", "somewhere/else/model.py:Model"):
        load(Built(tmp_path, LoadOptions(target=target))).close()
    load(Built(None, LoadOptions(target=f"{built.artifact}:Model"))).close()
    data = tmp_path / "data"
    data.mkdir()
    (data / "model.py").write_text("1 / 0", encoding="utf-8")
    load(Built(data, LoadOptions(target=f"{built.artifact}:Model"))).close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", r"model\.py cannot be imported: ZeroDivisionError: division by zero \(model\.py:1\)"),
        ("\n\nclass Model(:", r"SyntaxError: .*\(model\.py:1\)"),
        ("import sys\nsys.exit(3)", r"SystemExit: 3 \(model\.py:2\)"),
        ("class Other: pass", r"model\.py has no class 'Model'; its classes are: Other"),
        (
            "class Model:\n  def __init__(self):\n    raise KeyError('k')",
            r"does not load: KeyError: 'k' \(model\.py:3\)",
        ),
        ("class Model:\n  def load(self, path):\n    int('z')", r"does not load: ValueError: .*'z' \(model\.py:3\)"),
        ("class Model: pass", r"signature: expected .* not None"),
        ("class Model:\n  signature = {'inputs': {}, 'outputs': {}}", r"has no method predict"),
    ],
)
def test_the_authors_errors_come_with_the_authors_line(tmp_path: Path, text: str, message: str) -> None:
    """An author would search our code for their mistake."""
    before = set(sys.modules)
    with pytest.raises(LoadError, match=message):
        load(source(tmp_path, text))
    assert set(sys.modules) == before


@pytest.mark.parametrize("target", [None, "", "model.py", "model.py:", ":Model", "gone.py:Model"])
def test_targets_that_name_nothing(tmp_path: Path, target: str | None) -> None:
    """A misspelt target would end in an AttributeError."""
    with pytest.raises(LoadError, match="python target"):
        load(Built(None, LoadOptions(target=target)))


def test_claims_no_file() -> None:
    """A Python file found among others would be run as code."""
    assert not PythonBackend().claims(["model.py"])
    assert list(PythonBackend().companions(Path("model.py"))) == []


def test_predict_may_blame_the_caller(tmp_path: Path) -> None:
    """An author's own check of values would be an internal error."""
    body = "def predict(self, inputs):\n    from mlserve.errors import BadRequest\n    raise BadRequest('x is odd')"
    model = load(write_model(tmp_path, FLOATS, {"y": "float32[-1]"}, body))
    with pytest.raises(BadRequest, match="x is odd"):
        model.infer(ONE)
    model.close()


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("float32[-1,4]", TensorSpec("x", DType.FLOAT32, (None, 4))),
        (" string [ -1 ] ", TensorSpec("x", DType.STRING, (None,))),
        ("int64[]", TensorSpec("x", DType.INT64, ())),
        ("bool[?]", TensorSpec("x", DType.BOOL, None)),
        ("str[2,0]", TensorSpec("x", DType.STRING, (2, 0))),
    ],
)
def test_specs_that_a_person_writes(text: str, spec: TensorSpec) -> None:
    """The documented forms would not be understood."""
    assert parse_spec("x", text) == spec


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"inputs": {"x": "float33[-1]"}, "outputs": {}}, "'x' has the unknown type 'float33'; did you mean float32"),
        ({"inputs": {"x": "float32"}, "outputs": {}}, "'x' is 'float32', expected a type and dimensions"),
        ({"inputs": {"x": "float32[a]"}, "outputs": {}}, "'x' has the dimension 'a'"),
        ({"inputs": {"x": "float32[1,]"}, "outputs": {}}, "'x' has the dimension ''"),
        ({"inputs": {"x": "float32[-2]"}, "outputs": {}}, "'x' has the dimension '-2'"),
        ({"inputs": {"x": "json[-1]"}, "outputs": {}}, "'x' is json, which only outputs can be"),
        ({"inputs": {"x": 3}, "outputs": {}}, "inputs has 'x': 3"),
        ({"inputs": [], "outputs": {}}, r"inputs is \[\], expected a mapping"),
        ({"inputs": {}}, r"not the members \['inputs'\]"),
        ("float32[-1]", "not 'float32"),
    ],
)
def test_specs_that_mean_nothing(declared: object, message: str) -> None:
    """The author would not learn which tensor is meant and what to write."""
    with pytest.raises(LoadError, match=message):
        parse_signature(declared)


@pytest.mark.parametrize(
    ("spec", "returned", "expected"),
    [
        ("float32[-1]", 2, [2.0, 2.0]),
        ("float32[-1]", [1, 2.5], [1.0, 2.5]),
        ("float32[-1,2]", 0.5, [[0.5, 0.5], [0.5, 0.5]]),
        ("float32[]", 1.5, 1.5),
        ("float32[?]", 1.5, 1.5),
        ("float32[-1]", [], []),
        ("bfloat16[-1]", [1, 2.5], [1.0, 2.5]),
        ("int8[-1]", np.array([1, -128]), [1, -128]),
        ("bool[-1]", [True, False], [True, False]),
        ("complex64[-1]", [1, 2j], [1, 2j]),
        ("string[-1]", "all", ["all", "all"]),
        ("string[-1]", np.array(["a", "bb"]), ["a", "bb"]),
        ("string[-1]", [b"\xff", "b"], ["\udcff", "b"]),
        ("json[-1]", [{"a": 1}, [1, 2]], [{"a": 1}, [1, 2]]),
        ("json[-1]", [[1, 2], [3, 4]], [[1, 2], [3, 4]]),
    ],
)
def test_results_become_what_was_declared(spec: str, returned: object, expected: object) -> None:
    """Lists and scalars, which authors like to return, would fail or come out in another dtype."""
    signature = Signature((), (parse_spec("y", spec),))
    array = coerce_outputs(signature, {"y": returned}, rows=2)["y"]
    assert array.dtype == signature.outputs[0].dtype.numpy
    assert array.tolist() == expected


@pytest.mark.parametrize(
    ("spec", "returned", "message"),
    [
        ("float32[-1]", {}, r"no output 'y'; it returned \[\]"),
        ("float32[-1]", {"y": [1], "z": 1}, "'z', which is not among the declared"),
        ("float32[-1]", [1], "predict returned list"),
        ("float32[-1]", {"y": ["a"]}, r"output 'y' is <U1, declared as y: float32\[-1\]"),
        ("float32[-1]", {"y": [[1], [2, 3]]}, "output 'y' does not make an array"),
        ("float32[-1,3]", {"y": [[1, 2]]}, r"output 'y' has the shape \[1, 2\]"),
        ("float32[-1]", {"y": [[1]]}, r"output 'y' has the shape \[1, 1\]"),
        ("float32[-1,-1]", {"y": 1}, r"output 'y' has the shape \[\]"),
        ("int8[-1]", {"y": [1, 300]}, "output 'y' holds values outside the range of int8"),
        ("uint8[-1]", {"y": [-1]}, "outside the range of uint8"),
        ("int64[-1]", {"y": [1.5]}, "output 'y' is float64"),
        ("int64[-1]", {"y": [True]}, "output 'y' is bool"),
        ("bool[-1]", {"y": [1]}, "output 'y' is int64"),
        ("string[-1]", {"y": [1]}, "output 'y' holds int"),
    ],
)
def test_results_that_are_not_what_was_declared(spec: str, returned: object, message: str) -> None:
    """A caller would get other types than ``inspect`` shows, or an error that names no output."""
    signature = Signature((), (parse_spec("y", spec),))
    with pytest.raises((TypeError, ValueError), match=message):
        coerce_outputs(signature, returned, rows=2)
