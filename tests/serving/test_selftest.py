"""The self-test: too strict, and good versions do not serve; too lax, and bad ones do."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from mlserve.config.schema import ModelConfig
from mlserve.errors import BadRequest, InferenceFailed, LoadError
from mlserve.serving.selftest import made_up_values, sample_rows, self_test
from mlserve.types import Context, DType, InputField, Interface, Predict, Rows, Serving
from mlserve.values import rows_from_values
from tests.support.deployments import as_lists, double, interface

X = InputField("x", DType.FLOAT32, ())
S = InputField("s", DType.STRING, ())


class Asked:
    """A ``Predict`` that doubles ``x`` and keeps what it was asked."""

    def __init__(self) -> None:
        self.rows: list[dict[str, list[Any]]] = []

    async def __call__(self, rows: Rows, context: Context) -> Rows:
        assert context.deadline > time.monotonic()
        self.rows.append(dict(as_lists(rows)))
        return await double(rows, context)


async def run(test: dict[str, Any] | None, face: Interface | None = None, predict: Predict = double) -> None:
    config = ModelConfig.model_validate({"ID": "m", "URL": "m", "Test": test})
    await self_test(config, face or interface(), predict, time.monotonic() + 30)


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        (None, []),
        ({}, []),
        ({"Test": False}, []),
        ({"Single": {"x": 3}}, [{"x": [3.0]}]),
        ({"Single": {"x": 3}, "SingleBatch": True}, [{"x": [3.0]}, {"x": [3.0]}]),
        ({"Batch": {"x": [3, 4]}}, [{"x": [3.0, 4.0]}]),
        ({"Single": {"x": 3}, "Batch": {"x": [3, 4]}}, [{"x": [3.0]}, {"x": [3.0, 4.0]}]),
        ({"Batch": {"x": [1]}, "SingleBatch": True, "Single": {"x": 3}}, [{"x": [3.0]}, {"x": [3.0]}, {"x": [1.0]}]),
    ],
)
async def test_what_is_asked(test: dict[str, Any] | None, expected: list[dict[str, list[float]]]) -> None:
    """As in mly: one row, the same as a batch of one, a batch."""
    asked = Asked()
    await run(test, predict=asked)
    assert asked.rows == expected


@pytest.mark.parametrize("test", [{"Test": True}, {"Single": {}}, {"SingleBatch": True}])
async def test_values_that_nobody_gave_are_made_up(test: dict[str, Any]) -> None:
    """mly's ``Test: true`` says only that the model must answer."""
    asked = Asked()
    await run(test, interface(X, S), predict=asked)
    ((x,), (s,)) = asked.rows[0]["x"], asked.rows[0]["s"]
    assert 0 <= x < 1
    assert s.startswith("test-")


@pytest.mark.parametrize(
    "test",
    [
        {"Single": {"x": 3}, "Expect": {"y": 6}},
        {"Single": {"x": 3}, "Expect": {"y": 6.00005}},
        {"Single": {"x": 3}, "Expect": {"y": 6.1}, "Tolerance": 0.1},
        {"Single": {"x": 3}, "Expect": {}},
        {"Batch": {"x": [3, 4]}, "Expect": {"y": [6, 8]}},
        {"Batch": {"x": [3]}, "Expect": {"y": [6]}},
        {"Single": {"x": 3}, "Batch": {"x": [4, 5]}, "Expect": {"y": 6}},
    ],
)
async def test_answers_as_expected(test: dict[str, Any]) -> None:
    """Of Single and Batch, Expect speaks of Single."""
    await run(test)


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ({"Single": {"x": 3}, "Expect": {"y": 7}}, r"Single: output 'y' is 6\.0, expected 7 within 1e-05"),
        ({"Single": {"x": 3}, "Expect": {"y": [6]}}, r"Single: output 'y' is 6\.0, expected \[6\]"),
        ({"Single": {"x": 3}, "Expect": {"z": 1}}, "Single: Expect names 'z'; outputs are: y"),
        ({"Batch": {"x": [3, 4]}, "Expect": {"y": [6, 9]}}, r"Batch: output 'y' is \[6\.0, 8\.0\], expected \[6, 9\]"),
        ({"Batch": {"x": [3, 4]}, "Expect": {"y": [6]}}, "Batch: output 'y'"),
        ({"Batch": {"x": [3, 4]}, "Expect": {"y": 6}}, "Batch: output 'y'"),
        ({"Single": {"w": 3}}, "Single: .*unknown field: 'w'"),
        ({"Single": {"x": "three"}}, "Single: .*'x'"),
        ({"Batch": {"w": [3]}}, r"Batch: .*missing fields: \[x\]"),
    ],
)
async def test_a_version_that_fails(test: dict[str, Any], words: str) -> None:
    """The error says which row, what came and what was expected."""
    with pytest.raises(LoadError, match=f"self-test {words}"):
        await run(test)


async def test_a_failing_run_is_told_by_its_cause() -> None:
    """Operators need the model's words; the incident's number is another each time, and would look like news."""

    async def failing(rows: Rows, context: Context) -> Rows:
        raise InferenceFailed("under incident 4711", incident="4711") from ValueError("no such category")

    with pytest.raises(LoadError, match=r"self-test Single: the run failed: ValueError: no such category$"):
        await run({"Test": True}, predict=failing)


async def test_what_the_model_refuses() -> None:
    """The text says why."""

    async def refusing(rows: Rows, context: Context) -> Rows:
        raise BadRequest("x must be even")

    with pytest.raises(LoadError, match="self-test Batch: x must be even"):
        await run({"Batch": {"x": [1]}}, predict=refusing)


FIELDS = [
    InputField(f"{dtype}{index}", dtype, shape)
    for dtype in DType
    if dtype is not DType.JSON
    for index, shape in enumerate([(), (2, None), None])
]


@pytest.mark.parametrize("serving", [Serving.ROWS, Serving.WHOLE])
def test_made_up_values_fit_every_input(serving: Serving) -> None:
    """They must be what the server itself would take from a caller."""
    face = interface(*FIELDS, serving=serving)
    rows, batch = rows_from_values(face, made_up_values(face, {}), None, 1)
    assert (rows.count, batch) == (1, False)
    assert made_up_values(face, {}) == made_up_values(face, {})


def test_samples_are_the_configured_row() -> None:
    """A model may refuse what is made up; the given row it must take."""
    test = ModelConfig.model_validate({"ID": "m", "URL": "m", "Test": {"Single": {"x": 3}}}).test
    rows = sample_rows(interface(X, S), test, 3)
    assert rows.columns["x"].tolist() == [3.0] * 3
    assert len(set(rows.columns["s"].tolist())) == 1
    whole = interface(InputField("x", DType.FLOAT32, (None, 2)), serving=Serving.WHOLE)
    sample = sample_rows(whole, None, 3)
    assert (sample.count, sample.columns["x"].shape) == (1, (1, 1, 2))
    assert sample.columns["x"].dtype == np.float32
