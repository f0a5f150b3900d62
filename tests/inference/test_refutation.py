"""A wrong proof would give callers the answers of others, if these failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlserve import registry
from mlserve.config.schema import ModelConfig
from mlserve.contracts.backend import LoadOptions
from mlserve.inference.feed import Feed, Misaligned
from mlserve.inference.refutation import folding_faults
from mlserve.serving.interface import build_interface
from mlserve.serving.selftest import sample_rows
from mlserve.types import Array, DType, InputField, Lookups, Rows, Serving, Shape, Vocabulary
from tests.support.deployments import interface
from tests.support.models import FakeModel, signature
from tests.support.vocabularies import numbers, words

KNOWN = words("de", "fr")


def found(
    answer: Callable[[Array], Any],
    lookups: Lookups | None,
    dtype: DType = DType.STRING,
    row: Shape = (),
    serving: Serving = Serving.ROWS,
    output: DType = DType.FLOAT32,
) -> tuple[tuple[str, ...], FakeModel]:
    """What is found of a model that answers ``answer`` of the input ``s``, and the model."""
    sign = signature({"s": (dtype, (None, *row)), "x": (DType.FLOAT32, (None,))}, {"y": (output, (None,))})

    def function(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {"y": np.asarray(answer(inputs["s"]), output.numpy)}

    model = FakeModel(function, sign)
    filler = "test-1" if dtype is DType.STRING else 7
    columns = {"s": np.full((1, *map(int, filter(None, row))), filler, dtype.numpy), "x": np.ones(1, np.float32)}
    face = interface(InputField("s", dtype, row, lookups=lookups), InputField("x", DType.FLOAT32, ()), serving=serving)
    return folding_faults(model, Feed(sign, serving), Rows(columns, 1), face), model


def each(function: Callable[[Any], float]) -> Callable[[Array], list[float]]:
    return lambda column: [function(value) for value in column.tolist()]


def place(value: str) -> float:
    return float(sorted(KNOWN.words).index(value)) if value in KNOWN.words else -1.0


def test_a_true_proof_stands() -> None:
    """A model that looks a word up, as it said."""
    assert found(each(place), Lookups("", KNOWN))[0] == ()


@pytest.mark.parametrize(
    "liar",
    [
        each(len),
        each(lambda value: float(value == "[UNK]")),
        each(lambda value: sum(map(ord, value)) % 2),
        each(lambda value: float(value.endswith("-3"))),
        each(lambda value: np.float32(1) + np.finfo(np.float32).eps * (value == "[UNK]")),
    ],
    ids=["length", "sentinel", "two buckets", "one stranger", "last bit"],
)
def test_a_model_that_tells_strangers_apart_is_found(liar: Callable[[Array], list[float]]) -> None:
    """In any bit: what is cached is the model's answer to the last."""
    assert found(liar, Lookups("", KNOWN))[0] == ("s",)


@pytest.mark.parametrize("dtype", [dtype for dtype in DType if dtype.is_integer])
def test_numbers_of_every_type(dtype: DType) -> None:
    """Strangers at the ends of the type too, and never one that the type cannot hold."""
    known = Lookups("", numbers(1, 2, 3))
    assert found(each(lambda value: float(value in (1, 2, 3))), known, dtype)[0] == ()
    assert found(each(lambda value: float(value == np.iinfo(dtype.numpy).max)), known, dtype)[0] == ("s",)
    assert found(each(lambda value: float(value == 0)), known, dtype)[0] == ("s",)


def test_a_type_without_strangers_has_nothing_to_refute() -> None:
    """Every int8 is a word: nothing will ever be folded."""
    faults, model = found(each(float), Lookups("", numbers(*range(-128, 128))), DType.INT8)
    assert (faults, model.calls) == ((), [])


def test_only_the_places_that_are_looked_up_are_tried() -> None:
    """Of a vector: the model may do as it likes with the others."""
    columns = Lookups("", columns={1: numbers(5)})

    def second(value: list[int]) -> float:
        return float(value[1] == 5) + value[0]

    assert found(each(second), columns, DType.INT64, (2,))[0] == ()
    assert found(each(lambda value: float(value[1])), columns, DType.INT64, (2,))[0] == ("s",)
    assert found(each(lambda value: float(max(value))), Lookups("", numbers(5)), DType.INT64, (3,))[0] == ("s",)


@pytest.mark.parametrize("serving", [Serving.ROWS, Serving.ONE])
def test_both_go_in_the_same_shape(serving: Serving) -> None:
    """The last bits may depend on the size of the batch: that is no fault of the proof."""

    def by_size(column: Array) -> list[float]:
        return [float(len(column))] * len(column)

    faults, model = found(by_size, Lookups("", KNOWN), serving=serving)
    assert faults == ()
    assert len({call["s"].shape for call in model.calls}) == 1


def test_text_and_nan_are_compared_too() -> None:
    """Answers that are no numbers, and one that is not equal to itself."""
    assert found(lambda column: [{"p": float("nan")}] * len(column), Lookups("", KNOWN), output=DType.JSON)[0] == ()
    assert found(lambda column: np.full(len(column), np.nan), Lookups("", KNOWN))[0] == ()
    assert found(lambda column: column, Lookups("", KNOWN), output=DType.STRING)[0] == ("s",)


@pytest.mark.parametrize("refused", ["strangers", "sentinel", "both"])
def test_a_model_that_refuses_one_and_answers_the_other_tells_them_apart(refused: str) -> None:
    """Such as a OneHotEncoder that raises for words it does not know. Refusing both says nothing."""

    def picky(column: Array) -> list[float]:
        sentinels = column.tolist() == ["[UNK]"] * len(column)
        if refused == "both" or sentinels == (refused == "sentinel"):
            raise ValueError("no such word")
        return [1.0] * len(column)

    assert found(picky, Lookups("", KNOWN))[0] == (() if refused == "both" else ("s",))


@pytest.mark.parametrize("lookups", [None, Lookups("exact: StringSplit reads it")])
def test_an_exact_input_costs_no_run(lookups: Lookups | None) -> None:
    """Most models have only such."""
    faults, model = found(each(len), lookups)
    assert (faults, model.calls) == ((), [])


def test_outputs_that_do_not_line_up_with_rows_come_out() -> None:
    """They say how the model must be served, not what it looks up."""
    with pytest.raises(Misaligned):
        found(lambda column: [1.0], Lookups("", KNOWN))


@pytest.mark.parametrize(("sentinel", "faults"), [("[UNK]", ()), ("Dream", ("island",))])
def test_a_real_model(sentinel: str, faults: tuple[str, ...]) -> None:
    """Through its runtime: unknown islands are all one to it, and none of them is Dream."""
    artifact = Path(__file__).parents[2] / "examples/models/penguins.onnx"
    model = registry.resolve("backends", "onnx")().load(artifact, LoadOptions())
    lookups = {"island": Lookups("", Vocabulary(["Biscoe", "Torgersen"], sentinel))}
    config = ModelConfig(id="m", url="m")
    try:
        face = build_interface(model.signature, config, Serving.ROWS, lookups, None)
        row = sample_rows(face, None, 1)
        assert folding_faults(model, Feed(model.signature, Serving.ROWS), row, face) == faults
    finally:
        model.close()
