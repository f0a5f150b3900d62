"""``mlserve check``: what a person or a pipeline asks before a configuration goes out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import Mlserve
from tests.support.versions import write_version

ROOT = Path(__file__).parents[2]

REFUSING = """
class Picky:
    signature = {"inputs": {"x": "float32[-1]"}, "outputs": {"y": "float32[-1]"}}

    def predict(self, inputs):
        if (inputs["x"] < 100).any():
            raise ValueError("too small")
        return {"y": inputs["x"]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good model."""
    write_version(tmp_path / "good.onnx", 1)
    return tmp_path


def test_a_good_configuration_is_a_table_and_nothing_else(folder: Path, mlserve: Mlserve) -> None:
    """Somebody who reads the table must find names and types whole, and a pipeline exit code 0."""
    (folder / "c.yaml").write_text(
        "Models:\n- {ID: good, URL: good.onnx, Outputs: [a], Inputs: [x, {Name: who, Auxiliary: true, Default: me}]}\n"
    )
    outcome = mlserve("check", "-c", "c.yaml")
    assert (outcome.code, outcome.err) == (0, "")
    assert "1 of 1 models load; all good" in outcome.out
    words = (
        "good",
        "x: float32",
        "who: string auxiliary optional",
        "a: float32",
        "onnxruntime ",
        "by rows",
        "generation ",
    )
    assert [word for word in words if word not in outcome.out] == []
    assert "b: float32" not in outcome.out


def test_the_sizes_of_dictionaries_stand_beside_their_inputs(folder: Path, mlserve: Mlserve) -> None:
    """A model saved without its vocabulary answers everybody alike: the table is where somebody would notice."""
    (folder / "c.yaml").write_text(
        f"Models: [{{ID: p, URL: {ROOT}/examples/models/penguins.onnx, Inputs: [{{Name: sex, Wildcard: true}}]}}]\n"
    )
    outcome = mlserve("check", "-c", "c.yaml")
    assert (outcome.code, outcome.err) == (0, "")
    assert "island: string, 3 words " in outcome.out
    assert "sex: string " in outcome.out


def test_every_problem_is_told_with_file_and_line(folder: Path, mlserve: Mlserve) -> None:
    """Fixing one problem to meet the next is a waste of a person's day."""
    (folder / "garbage.onnx").write_bytes(b"not a model")
    (folder / "c.yaml").write_text(
        """\
Models:
  - {ID: good, URL: good.onnx, Debug: true}
  - ID: gone
    URL: nowhere.onnx
  - {ID: garbage, URL: garbage.onnx}
  - ID: wrong
    URL: good.onnx
    Test: {Single: {x: 1}, Expect: {a: 3}}
"""
    )
    outcome = mlserve("check", "-c", "c.yaml")
    assert outcome.code == 1
    note, gone, garbage, wrong = outcome.err.splitlines()
    assert note.startswith("note: c.yaml:2: Models[0].Debug: has no effect here")
    assert gone.startswith("problem: c.yaml:3: gone: ")
    assert gone.endswith(f"nothing is at {folder}/nowhere.onnx")
    assert garbage == "problem: c.yaml:5: garbage: garbage.onnx is not an ONNX model, or was cut short (11 bytes)"
    assert wrong == "problem: c.yaml:6: wrong: self-test Single: output 'a' is 2.0, expected 3 within 1e-05"
    assert "1 of 4 models load\n" in outcome.out
    assert outcome.out.count("does not load") == 3


def test_a_warning_is_told_with_file_and_line_and_fails_nothing(folder: Path, mlserve: Mlserve) -> None:
    """A model that refuses made-up values is not wrong, but nobody has seen it work."""
    (folder / "picky.py").write_text(REFUSING)
    (folder / "c.yaml").write_text("\nModels: [{ID: picky, URL: 'python:picky.py:Picky'}]\n")
    outcome = mlserve("check", "-c", "c.yaml")
    assert outcome.code == 0
    assert outcome.err.startswith("warning: c.yaml:2: picky: not warmed up")
    assert "too small" in outcome.err
    assert outcome.err.count("\n") == 1


def test_problems_of_the_file_itself_are_all_told(folder: Path, mlserve: Mlserve) -> None:
    (folder / "c.yaml").write_text(
        "Modles: []\nAllowedSubnet: [10.0.0.1/8, 1.2.3.4.]\nModels: [{ID: a, URL: good.onnx}]\n"
    )
    outcome = mlserve("check", "-c", "c.yaml")
    assert (outcome.code, outcome.out) == (1, "")
    assert [line.split(": ")[:2] for line in outcome.err.replace("mlserve: ", "").splitlines()[:-1]] == [
        ["c.yaml:1", "Modles"],
        ["c.yaml:2", "AllowedSubnet[0]"],
        ["c.yaml:2", "AllowedSubnet[1]"],
    ]


def test_certificates_are_tried(folder: Path, mlserve: Mlserve) -> None:
    """``serve`` would not start without them, so ``check`` must not call them good."""
    (folder / "c.yaml").write_text("TLS: {CertFile: a.pem, KeyFile: b.pem}\nModels: [{ID: good, URL: good.onnx}]\n")
    outcome = mlserve("check", "-c", "c.yaml")
    assert outcome.code == 1
    assert outcome.err.startswith("problem: c.yaml: TLS: cannot use CertFile a.pem with KeyFile b.pem")
    assert "all good" not in outcome.out


def test_secrets_stay_hidden(folder: Path, mlserve: Mlserve) -> None:
    """What ``check`` prints lands in the logs of pipelines."""
    (folder / "c.yaml").write_text("Models: [{ID: far, URL: 'http://user:s3cret@127.0.0.1:1/m.onnx'}]\n")
    outcome = mlserve("check", "-c", "c.yaml")
    assert outcome.code == 1
    assert "problem: c.yaml:1: far: http://***@127.0.0.1:1/m.onnx" in outcome.err
    assert "s3cret" not in outcome.out + outcome.err


def test_a_missing_package_is_told_with_its_command(folder: Path) -> None:
    """Without TensorFlow the model that needs it says what to install, and the others still load."""
    (folder / "c.yaml").write_text(
        f"Models:\n- {{ID: keras, URL: {ROOT / 'examples/models/penguins_keras'}}}\n- {{ID: good, URL: good.onnx}}\n"
    )
    code = "import sys; sys.modules['tensorflow'] = None; from mlserve.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "check", "-c", "c.yaml"]
    outcome = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60, check=False)
    assert outcome.returncode == 1
    assert outcome.stderr == (
        "problem: c.yaml:2: keras: a TensorFlow SavedModel needs the package tensorflow: "
        "run pip install 'mlserve[tensorflow]'\n"
    )
    assert "1 of 2 models load" in outcome.stdout


def test_a_store_that_is_away_is_told_once_and_fails_nothing(folder: Path, mlserve: Mlserve) -> None:
    """Answers come without it; but who misspelt its port would wonder why nothing is shared. Passwords stay hidden."""
    (folder / "c.yaml").write_text(
        "Models: [{ID: good, URL: good.onnx, DataStore: d}]\n"
        "Datastores: [{ID: d, Connection: far, L2: {Connection: disk}}]\n"
        "Connections:\n"
        "- {ID: disk, URL: 'lmdb:./cache?size_mb=8'}\n"
        "- {ID: far, URL: 'redis://user:s3cret@127.0.0.1:1/0'}\n"
    )
    outcome = mlserve("check", "-c", "c.yaml")
    assert outcome.code == 0
    (line,) = outcome.err.splitlines()
    assert line.startswith("warning: c.yaml:5: connection far (redis://***@127.0.0.1:1/0): ")
    assert line.endswith("; answers come without it")
    assert "all good" in outcome.out


def test_nothing_is_left_behind(folder: Path, mlserve: Mlserve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run of a pipeline would otherwise leave copies of its models on the disk."""
    temporary = folder / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    (folder / "c.yaml").write_text("Models: [{ID: good, URL: good.onnx}, {ID: gone, URL: gone.onnx}]\n")
    assert mlserve("check", "-c", "c.yaml").code == 1
    assert list(temporary.iterdir()) == []
