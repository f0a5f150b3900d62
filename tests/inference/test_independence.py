"""Rows of strangers would leak into answers through a batch, or a sound model lose its cache, if these failed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from mlserve.inference.feed import Feed
from mlserve.inference.independence import TOLERANCE, dependence, unlike
from mlserve.types import Array, DType, Rows, Serving
from tests.support.deployments import rows
from tests.support.models import FakeModel, double, signature

ONE, OTHER = rows(x=[1.0]), rows(x=[3.0])
TWO_OUTPUTS = signature(outputs={"y": (DType.FLOAT32, (None,)), "z": (DType.FLOAT32, (None,))})


def found(function: Callable[[Mapping[str, Array]], dict[str, Array]], model: FakeModel | None = None) -> str | None:
    model = model or FakeModel(function)
    return dependence(model, Feed(model.signature, Serving.ROWS), ONE, OTHER)


def test_a_row_for_itself_is_independent() -> None:
    """The plain case."""
    assert found(double) is None


@pytest.mark.parametrize(
    "leaky",
    [
        lambda x: x - x.mean(),
        lambda x: x[::-1].copy(),
        np.cumsum,
        lambda x: x / np.abs(x).max(),
        lambda x: np.full(len(x), float(len(x)), np.float32),
        lambda x: np.sort(-x),
    ],
    ids=["batch mean", "order", "running sum", "batch maximum", "batch size", "sorted"],
)
def test_a_model_that_looks_at_other_rows_is_found_and_its_output_named(leaky: Callable[[Array], Array]) -> None:
    """Such as a batch normalisation left in training mode."""
    model = FakeModel(lambda inputs: {"y": inputs["x"], "z": np.float32(1) * leaky(inputs["x"])}, TWO_OUTPUTS)
    assert found(double, model) == "a row's value of output 'z' depends on the rows beside it"


@pytest.mark.parametrize("draw", [random.random, itertools.count().__next__], ids=["random", "counter"])
def test_a_model_that_answers_otherwise_each_time_is_found(draw: Callable[[], float]) -> None:
    """Its answers must not be kept."""
    said = found(lambda inputs: {"y": inputs["x"] + np.float32(draw())})
    assert said == "two runs of one row give different values of output 'y'"


def by_size(offset: float) -> str | None:
    return found(lambda inputs: {"y": (inputs["x"] * np.float32(1 + offset * (len(inputs["x"]) > 1)))})


def test_the_last_bits_may_depend_on_the_size_of_the_batch() -> None:
    """That is the runtime's doing; what exceeds it is not."""
    assert by_size(TOLERANCE / 10) is None
    assert by_size(TOLERANCE * 10) is not None


def test_nan_agrees_with_itself() -> None:
    """A model may answer NaN, and does so for that row each time."""
    assert found(lambda inputs: {"y": np.full(len(inputs["x"]), np.nan, np.float32)}) is None


def test_text_is_compared_too() -> None:
    """A classifier's label that depends on its neighbours."""
    model = FakeModel(
        lambda inputs: {"y": np.asarray([f"{len(inputs['x'])}"] * len(inputs["x"]), object)},
        signature(outputs={"y": (DType.STRING, (None,))}),
    )
    assert found(double, model) == "a row's value of output 'y' depends on the rows beside it"


def test_what_the_model_raises_comes_out() -> None:
    """Made-up rows may be wrong: that says nothing about independence."""

    def picky(inputs: Mapping[str, Array]) -> dict[str, Array]:
        raise ValueError("no such word")

    with pytest.raises(ValueError, match="no such word"):
        found(picky)


@pytest.mark.parametrize("dtype", [dtype for dtype in DType if dtype is not DType.JSON])
def test_every_value_of_an_unlike_row_is_another(dtype: DType) -> None:
    """Two equal rows side by side would show nothing."""
    some = ["", "a"] if dtype is DType.STRING else [0, 1]
    column = np.asarray([some], dtype.numpy)
    other = unlike(Rows({"x": column}, 1), words=True).columns["x"]
    assert (other.dtype, other.shape) == (column.dtype, column.shape)
    assert not any(left == right for left, right in zip(column.flat, other.flat, strict=True))


def test_words_may_stay() -> None:
    """A model may know no other words."""
    other = unlike(rows(s=["a"], x=[5.0]), words=False)
    assert other.columns["s"].tolist() == ["a"]
    assert other.columns["x"].tolist() == [1.0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.0, 0.0])
def test_strange_numbers_have_others_too(value: float) -> None:
    other = unlike(Rows({"x": np.asarray([value])}, 1), words=True).columns["x"][0]
    assert np.isfinite(other)
    assert other != value
