"""Operators would be shown wrong numbers, secrets, or a form that asks for other inputs, if these failed."""

from __future__ import annotations

from datetime import date
from typing import Any

import orjson
import pytest

import mlserve
from mlserve.config.schema import ModelConfig
from mlserve.errors import BadRequest, UnknownModel
from mlserve.observe.model_metrics import ModelMetrics
from mlserve.serving.deployment import Deployment, Origin
from mlserve.serving.manager import Status
from mlserve.transport.page.models import models_json
from mlserve.types import DType, InputField
from tests.support.deployments import deployment, interface


def view(*statuses: Status, meters: dict[str, ModelMetrics] | None = None, query: str = "") -> Any:
    return orjson.loads(models_json(statuses, meters or {}, query))


def whole(made: Deployment) -> Any:
    (model,) = view(Status("m", made, None, True), query="id=m")["models"]
    return model


async def test_a_model_that_serves() -> None:
    """Which version, made of what, how quickly."""
    body = view(Status("m", deployment(generation="abc"), None, True))
    assert body["version"] == mlserve.__version__
    assert body["models"] == [
        {
            "id": "m",
            "state": "serving",
            "error": None,
            "required": True,
            "rows": 0,
            "cacheLookups": 0,
            "cacheHits": 0,
            "generation": "abc",
            "runtime": "fake 1.0 (cpu)",
            "loadSeconds": 0.25,
            "sizeBytes": 1_500_000,
        }
    ]


async def test_states() -> None:
    """An old version that serves while a new one fails is serving, and says so."""
    statuses = (
        Status("old", deployment(), "bad weights", True),
        Status("new", None, None, True),
        Status("broken", None, "no such file", False),
    )
    shown = [(model["id"], model["state"], model["error"]) for model in view(*statuses)["models"]]
    assert shown == [("old", "serving", "bad weights"), ("new", "loading", None), ("broken", "failed", "no such file")]


def test_secrets_in_errors_are_hidden() -> None:
    """A store's error quotes the URL that it could not open, over many lines."""
    (model,) = view(Status("m", None, "cannot open\n s3://u:pa55@bucket/m", True))["models"]
    assert "pa55" not in model["error"]
    assert "\n" not in model["error"]


def test_clocks_of_two_readings_tell_the_time_between_them() -> None:
    """Rates are counts over this, not over what the network took."""
    first, second = view()["clockSeconds"], view()["clockSeconds"]
    assert 0 < second - first < 60


def test_counters_are_those_of_the_metrics() -> None:
    """Rows looked up count once, however many tiers were asked for them; a hit is one in any tier."""
    meters = ModelMetrics("m")
    meters.rows.inc(10)
    for tier, result, rows in (("memory", "hit", 6), ("memory", "miss", 4), ("l1", "hit", 1), ("l1", "expired", 3)):
        meters.observe_lookup(tier, result, rows)
    (model,) = view(Status("m", None, None, True), meters={"m": meters})["models"]
    assert (model["rows"], model["cacheLookups"], model["cacheHits"]) == (10, 10, 7)


class TestOneModel:
    async def test_tells_its_inputs(self) -> None:
        """All that a form needs to be right about them."""
        face = interface(
            InputField("x", DType.FLOAT32, (), precision=1),
            InputField("image", DType.UINT8, (2, None)),
            InputField("word", DType.STRING, (), default="", auxiliary=True),
            InputField("any", DType.FLOAT64, None, default=float("nan")),
        )
        inputs = whole(deployment(face=face))["inputs"]
        assert [one.pop("example") != "" for one in inputs] == [True, True, False, False]
        common = {"optional": False, "default": None, "precision": None, "auxiliary": False}
        assert inputs == [
            {"name": "x", "type": "float32", "shape": [], **common, "precision": 1},
            {"name": "image", "type": "uint8", "shape": [2, None], **common},
            {"name": "word", "type": "string", "shape": [], "optional": True, "default": '""', "precision": None,
             "auxiliary": True},
            {"name": "any", "type": "float64", "shape": None, "optional": True, "default": "NaN", "precision": None,
             "auxiliary": False},
        ]  # fmt: skip

    async def test_one_that_does_not_serve_has_none(self) -> None:
        """Its signature is not known yet."""
        (model,) = view(Status("m", None, None, True), query="id=m")["models"]
        assert "inputs" not in model

    async def test_names_and_texts_that_are_no_utf8_still_show(self) -> None:
        """Names of tensors come out of files."""
        face = interface(InputField("\udcff", DType.STRING, (), default="\udcfe"))
        (one,) = whole(deployment(face=face))["inputs"]
        assert (one["name"], one["default"]) == ("?", '"?"')

    async def test_an_id_that_there_is_not(self) -> None:
        """It may have gone while somebody looked at it."""
        with pytest.raises(UnknownModel):
            view(Status("m", deployment(), None, True), query="id=other")

    @pytest.mark.parametrize("query", ["ID=m", "id=m&id=n", "id=m&more=1", "id=" + "m" * 2000, "m", "&" * 500])
    def test_other_questions_are_refused(self, query: str) -> None:
        """A misspelt one would otherwise be answered with all models."""
        with pytest.raises(BadRequest, match="id="):
            view(query=query)


class TestExample:
    """What the form of a model holds before anybody types."""

    @staticmethod
    def texts(face_of: tuple[InputField, ...], **test: Any) -> tuple[dict[str, str], bool]:
        made = deployment(face=interface(*face_of))
        made.origin = Origin(ModelConfig.model_validate({"ID": "m", "URL": "m.onnx", "Test": test or None}), ())
        model = whole(made)
        return {one["name"]: one["example"] for one in model["inputs"]}, model["madeUp"]

    FACE = (
        InputField("x", DType.FLOAT32, ()),
        InputField("word", DType.STRING, ()),
        InputField("on", DType.BOOL, ()),
        InputField("vector", DType.FLOAT32, (2,)),
        InputField("extra", DType.FLOAT32, (), default=1.5),
    )

    async def test_is_the_test_row(self) -> None:
        """An operator has said what a good row is; a default is left to the server."""
        row = {"x": 40.1, "word": 'a "b"', "on": True, "vector": [1, 2]}
        shown = {"x": "40.1", "word": 'a "b"', "on": "true", "vector": "[1, 2]", "extra": ""}
        assert self.texts(self.FACE, Single=row) == (shown, False)

    async def test_is_the_first_row_of_the_test_batch(self) -> None:
        """Where that is all there is: a value for all rows is one of the first row too."""
        batch = {"x": [40.1, 2], "word": "a", "on": [False, True], "vector": [[1, 2], [3, 4]]}
        shown = {"x": "40.1", "word": "a", "on": "false", "vector": "[1, 2]", "extra": ""}
        assert self.texts(self.FACE, Batch=batch) == (shown, False)

    async def test_is_made_up_where_nothing_is_configured(self) -> None:
        """So that one press of a key gets an answer; the page says that it is made up."""
        shown, made_up = self.texts(self.FACE)
        assert made_up
        assert all(shown[name] for name in ("x", "word", "on", "vector"))
        assert shown["extra"] == ""

    async def test_large_inputs_are_left_to_the_person(self) -> None:
        """An image of millions of numbers takes long to make, and longer to show."""
        field = InputField("image", DType.FLOAT32, (4096, 4096))
        assert self.texts((field,)) == ({"image": ""}, False)
        assert self.texts((field,), Single={"image": [[0.5] * 10_000]}) == ({"image": ""}, False)

    async def test_whatever_yaml_holds_becomes_text(self) -> None:
        """A date, a number over 64 bits, a missing value."""
        fields = tuple(InputField(name, DType.STRING, ()) for name in ("date", "large", "none"))
        row = {"date": date(2024, 5, 6), "large": 2**70, "none": None}
        shown, _ = self.texts(fields, Single=row)
        assert shown == {"date": '"2024-05-06"', "large": str(2**70), "none": ""}
