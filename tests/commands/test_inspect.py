"""``mlserve inspect``: from a model somebody was handed to an entry that serves it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlserve.config.load import LoadedConfig, parse_config
from tests.support.command import Mlserve, Outcome
from tests.support.versions import write_version

ROOT = Path(__file__).parents[2]

MODELS = """
import numpy as np

class Wide:
    signature = {"inputs": {"x": "float32[-1,300]"}, "outputs": {"y": "float32[-1]"}}
    def predict(self, inputs):
        return {"y": inputs["x"].sum(axis=1)}

class Picky:
    signature = {"inputs": {"x": "float32[-1]"}, "outputs": {"y": "float32[-1]"}}
    def predict(self, inputs):
        if (inputs["x"] < 100).any():
            raise ValueError("too small")
        return {"y": inputs["x"]}

class Whole:
    signature = {"inputs": {"table": "int64[2,-1]", "NO": "string[]"}, "outputs": {"y": "int64[]"}}
    def predict(self, inputs):
        return {"y": inputs["table"].sum()}

class Dice:
    deterministic = False
    signature = {"inputs": {"sides": "int32[-1]"}, "outputs": {"roll": "int32[-1]"}}
    def predict(self, inputs):
        return {"roll": np.ones_like(inputs["sides"])}
"""


@pytest.fixture
def models(tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text(MODELS)


def entry(outcome: Outcome) -> str:
    """The part of the output that is meant to be pasted."""
    lines = outcome.out.splitlines()
    return "\n".join(lines[lines.index("", next(i for i, line in enumerate(lines) if "paste this" in line)) + 1 :])


def pasted(outcome: Outcome, folder: Path) -> LoadedConfig:
    """The entry where the output says it goes."""
    (folder / "pasted.yaml").write_text(f"Models:\n{entry(outcome)}\n")
    return parse_config((folder / "pasted.yaml").read_text(), place=str(folder / "pasted.yaml"), environ={})


def test_an_onnx_model(tmp_path: Path, mlserve: Mlserve) -> None:
    """Names, types, both shapes, and an entry that loads as it is, self-test and all."""
    write_version(tmp_path / "m.onnx", 1)
    outcome = mlserve("inspect", "m.onnx")
    assert (outcome.code, outcome.err) == (0, "")
    for words in ("onnxruntime ", "served by rows", "equal rows get equal answers", "The test row is made up"):
        assert words in outcome.out
    assert ["x", "float32", "[-1,1]", "scalar"] in [line.split() for line in outcome.out.splitlines()]
    (model,) = pasted(outcome, tmp_path).config.models
    assert (model.id, model.url) == ("m", "m.onnx")
    assert model.test is not None
    assert mlserve("check", "-c", "pasted.yaml").code == 0


def test_vocabularies_and_what_they_mean_for_the_cache(tmp_path: Path, mlserve: Mlserve) -> None:
    """Somebody wonders why a model with ten countries has a million keys."""
    outcome = mlserve("inspect", ROOT / "examples/models/penguins.onnx")
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert "Input Vocabulary In the key of a cached row" in lines
    assert "bill_depth_mm exact; Precision would round it" in lines
    (island,) = (line for line in lines if line.startswith("island 3 words"))
    assert island.startswith("island 3 words: 'Biscoe', 'Dream', 'Torgersen' out of vocabulary: [UNK]; looked up")


@pytest.mark.parametrize("name", ["Whole", "Dice"])
def test_any_python_class(name: str, tmp_path: Path, models: None, mlserve: Mlserve) -> None:
    """An entry must survive YAML's own ideas (an input called NO) and models that are not served by rows."""
    outcome = mlserve("inspect", f"python:models.py:{name}")
    assert outcome.code == 0
    assert ("a request is one run" in outcome.out) is (name == "Whole")
    assert ("must not be cached" in outcome.out) is (name == "Dice")
    assert ("In the key of a cached row" in outcome.out) is (name != "Dice")
    pasted(outcome, tmp_path)
    assert mlserve("check", "-c", "pasted.yaml").code == 0


@pytest.mark.parametrize("name", ["Wide", "Picky"])
def test_a_row_that_cannot_be_made_up_is_left_out(name: str, tmp_path: Path, models: None, mlserve: Mlserve) -> None:
    """A self-test of three hundred made-up numbers helps nobody, and one that the model refuses would not load."""
    outcome = mlserve("inspect", f"python:models.py:{name}")
    assert outcome.code == 0
    assert "A row could not be made up: add Test" in outcome.out
    assert pasted(outcome, tmp_path).config.models[0].test is None
    assert mlserve("check", "-c", "pasted.yaml").code == 0


def test_options_stand_in_the_entry(tmp_path: Path, models: None, mlserve: Mlserve) -> None:
    """What it took to load the model once, it takes to serve it."""
    write_version(tmp_path / "m.onnx", 1)
    options = ("--backend", "onnx", "--signature", "other", "--tags", "serve, gpu")
    (model,) = pasted(mlserve("inspect", "m.onnx", *options), tmp_path).config.models
    assert (model.backend, model.signature, model.tags) == ("onnx", "other", ("serve", "gpu"))


def test_a_saved_model() -> None:
    """As a process, since TensorFlow's chatter comes from C and would stand between the lines."""
    command = [sys.executable, "-m", "mlserve", "inspect", "examples/models/penguins_keras"]
    outcome = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=100, check=False)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    for words in ("tensorflow ", "year", "int64", "body_mass_g", "- ID: penguins_keras"):
        assert words in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([""], "URL: may not be empty"),
        (["missing.onnx"], "nothing is at "),
        (["garbage.onnx"], "garbage.onnx is not an ONNX model, or was cut short"),
        (["notes.txt"], "no backend recognises what lies there (notes.txt)"),
        (["python:models.py:Nope"], "models.py has no class 'Nope'; its classes are: Dice, Picky, Whole, Wide"),
        (["python:nope"], "URL: expected python:module:Class or python:file.py:Class"),
        (["scorer.py"], "URL: a Python file serves by one of its classes: expected python:file.py:Class"),
        (["m.onnx", "--backend", "onyx"], "Backend: no backend onyx; did you mean onnx?"),
        (["m.onnx", "--signature", ""], "Signature: may not be empty"),
        (["___"], "nothing is at "),
    ],
)
def test_what_cannot_be_inspected_says_why(
    arguments: list[str], expected: str, tmp_path: Path, models: None, mlserve: Mlserve
) -> None:
    """One line, exit code 1, no traceback."""
    write_version(tmp_path / "m.onnx", 1)
    (tmp_path / "garbage.onnx").write_bytes(b"\0" * 99)
    (tmp_path / "notes.txt").write_text("weights are in the drawer")
    outcome = mlserve("inspect", *arguments)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("mlserve: ")
    assert expected in outcome.err
    assert outcome.err.count("\n") == 1


def test_credentials_in_the_url_are_never_shown(mlserve: Mlserve) -> None:
    outcome = mlserve("inspect", "http://user:s3cret@127.0.0.1:1/m.onnx?token=t0ken")
    assert outcome.code == 1
    assert "http://***@127.0.0.1:1/m.onnx" in outcome.err
    assert not [secret for secret in ("s3cret", "t0ken", "user") if secret in outcome.out + outcome.err]


def test_the_entry_hides_credentials_and_says_so(tmp_path: Path, mlserve: Mlserve) -> None:
    """The one place where the URL must be printed: it is pasted into files and chats."""
    import fsspec

    write_version(tmp_path / "m.onnx", 1)
    files = fsspec.filesystem("memory")
    files.pipe("/user:s3cret@bucket/m.onnx", (tmp_path / "m.onnx").read_bytes())
    outcome = mlserve("inspect", "memory://user:s3cret@bucket/m.onnx")
    files.rm("/user:s3cret@bucket", recursive=True)
    assert outcome.code == 0
    assert "s3cret" not in outcome.out + outcome.err
    assert "put them back as ${NAME}" in outcome.out
    assert pasted(outcome, tmp_path).config.models[0].url == "memory://***@bucket/m.onnx"


@pytest.mark.parametrize(
    ("url", "model_id"),
    [
        ("models/penguins.onnx", "penguins"),
        ("s3://bucket/a b/v1.tar.gz", "v1"),
        ("https://host/m.onnx?token=x", "m"),
        ("python:a/scorer.py:Food", "scorer"),
        ("python:pkg.module:Food", "pkg.module"),
        ("folder/", "folder"),
        ("___", "model"),
        ("x" * 300 + ".onnx", "x" * 128),
    ],
)
def test_ids_come_from_urls(url: str, model_id: str) -> None:
    """An id that the configuration refuses would stop the command before it began."""
    from mlserve.commands.inspect import _id_from

    assert _id_from(url) == model_id
