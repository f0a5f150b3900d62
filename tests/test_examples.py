"""The examples are what they say: real models, small, made by the script beside them, answering what the data says."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from palmerpenguins import load_penguins
from sklearn.datasets import load_digits

from mlserve import registry
from mlserve.contracts.backend import LoadOptions

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
MODELS = EXAMPLES / "models"
BACKENDS = {"penguins.onnx": "onnx", "digits.onnx": "onnx", "penguins_keras": "tensorflow"}
WORDS = {"island", "sex"}


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder of models trained a moment ago, and what the script printed."""
    folder = tmp_path_factory.mktemp("models")
    script = subprocess.run(
        [sys.executable, EXAMPLES / "train.py", folder], capture_output=True, text=True, timeout=240, check=False
    )
    assert script.returncode == 0, script.stderr
    return folder, script.stdout


@pytest.fixture(scope="module")
def penguins() -> pd.DataFrame:
    table = load_penguins()
    return table.assign(sex=table["sex"].fillna(""))


def columns(table: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    """Each column as the ``[-1,1]`` tensor that the models take."""
    types = dict.fromkeys(WORDS, object) | {"year": np.int64}
    return {name: table[[name]].to_numpy(types.get(name, np.float32)) for name in names}


def answer(model: Path, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What ``model`` makes of ``inputs``, through the backend that serves it."""
    loaded = registry.resolve("backends", BACKENDS[model.name])().load(model, LoadOptions())
    try:
        return dict(loaded.infer(inputs))
    finally:
        loaded.close()


def questions(model: str, penguins: pd.DataFrame) -> dict[str, Any]:
    """Everything the data can ask ``model``, unknown words and missing numbers included."""
    lengths = ["bill_length_mm", "flipper_length_mm"]
    match model:
        case "digits.onnx":
            return {"image": load_digits().images.astype(np.float32)}
        case "penguins_keras":
            return columns(penguins.dropna(subset=lengths), ["island", "sex", "year", *lengths])
        case _:
            return columns(penguins, ["island", "sex", *lengths, "bill_depth_mm", "body_mass_g"])


def flat(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs as arrays that compare: a column of maps becomes one of numbers."""
    return {
        name: np.array([list(row.values()) for row in column]) if isinstance(column.flat[0], dict) else column
        for name, column in outputs.items()
    }


@pytest.mark.timeout(300)
@pytest.mark.parametrize("model", BACKENDS)
def test_the_script_reproduces_what_is_committed(
    model: str, retrained: tuple[Path, str], penguins: pd.DataFrame
) -> None:
    """Somebody changed the script, or a package changed under it, and the committed models are another script's."""
    inputs = questions(model, penguins)
    committed, again = flat(answer(MODELS / model, inputs)), flat(answer(retrained[0] / model, inputs))
    assert committed.keys() == again.keys()
    for name, column in committed.items():
        if column.dtype.kind == "f":
            np.testing.assert_allclose(again[name], column, rtol=0.02, atol=0.02)
        else:
            assert np.mean(again[name] == column) > 0.99


@pytest.mark.timeout(300)
def test_the_models_are_worth_asking(retrained: tuple[Path, str]) -> None:
    """A model that has learnt nothing would still load and answer."""
    species, digits = (float(share) for share in re.findall(r"([\d.]+)% of unseen", retrained[1]))
    (grams,) = (float(error) for error in re.findall(r"(\d+) g off", retrained[1]))
    assert species > 95
    assert digits > 95
    assert grams < 300


def test_species_come_with_a_probability_for_each(penguins: pd.DataFrame) -> None:
    """The output the README shows: ``{"Adelie": 0.98, …}``, whose largest is the label."""
    outputs = answer(MODELS / "penguins.onnx", questions("penguins.onnx", penguins))
    assert set(outputs) == {"output_label", "output_probability"}
    for label, probability in zip(outputs["output_label"], outputs["output_probability"], strict=True):
        assert set(probability) == {"Adelie", "Chinstrap", "Gentoo"}
        assert sum(probability.values()) == pytest.approx(1, abs=1e-5)
        assert label == max(probability, key=probability.__getitem__)


def test_digits_agree_with_their_probabilities(penguins: pd.DataFrame) -> None:
    outputs = answer(MODELS / "digits.onnx", questions("digits.onnx", penguins))
    np.testing.assert_array_equal(outputs["label"], outputs["probabilities"].argmax(axis=1))
    assert np.mean(outputs["label"] == load_digits().target) > 0.98


def test_artefacts_are_small_and_hold_no_code() -> None:
    """Every clone carries them, and opening one must not run anything."""
    files = [path for path in MODELS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 500_000
    assert {path.suffix for path in files} <= {".onnx", ".pb", ".index", ".data-00000-of-00001"}
    for path in files:
        assert not re.search(rb"/home/|/root/|/tmp/|/Users/|site-packages", path.read_bytes()), path


class TestScorer:
    """``examples/scorer.py`` shows how to serve any Python class."""

    @pytest.fixture
    def scorer(self) -> Any:
        return runpy.run_path(str(EXAMPLES / "scorer.py"))["FoodPerDay"]()

    @staticmethod
    def ask(scorer: Any, *rows: tuple[float, str]) -> Any:
        masses, prey = zip(*rows, strict=True)
        inputs = {"body_mass_g": np.array(masses, np.float32)[:, None], "prey": np.array(prey, object)[:, None]}
        return scorer.predict(inputs)["food_g"]

    def test_answers_each_row_by_itself(self, scorer: Any) -> None:
        """A cached row and a batched one must be the same answer."""
        rows = [(4000.0, "krill"), (4000.0, "fish"), (5000.0, "krill")]
        together = self.ask(scorer, *rows)
        assert (together.dtype, together.shape) == (np.float32, (3, 1))
        np.testing.assert_array_equal(together, np.concatenate([self.ask(scorer, row) for row in rows]))
        assert together[1, 0] < together[0, 0] < together[2, 0]

    def test_a_four_kilogram_penguin_eats_a_kilogram_of_krill(self, scorer: Any) -> None:
        """Field studies of Adélie penguins say about as much."""
        assert self.ask(scorer, (4000.0, "krill"))[0, 0] == pytest.approx(1061.25, rel=1e-3)

    def test_unknown_prey_has_no_answer(self, scorer: Any) -> None:
        assert np.isnan(self.ask(scorer, (4000.0, "plankton"))[0, 0])


@pytest.mark.timeout(120)
def test_the_example_configuration_passes_its_own_check(tmp_path: Path) -> None:
    """``make serve`` would greet a new user with a problem."""
    checked = subprocess.run(
        [Path(sys.executable).with_name("mlserve"), "check", "-c", ROOT / "config.example.yaml"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=os.environ | {"COLUMNS": "300", "MLSERVE_CACHE": str(tmp_path)},
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "answers come without it" not in checked.stderr
    for model in ("penguins", "penguins_keras", "digits", "food_per_day"):
        assert re.search(rf"\b{model}\b", checked.stdout)
