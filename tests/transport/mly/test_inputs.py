"""An input that is told wrongly makes clients take the answer to one row for that to another."""

from __future__ import annotations

from typing import Any

import pytest

from mlserve.config.schema import ModelConfig
from mlserve.transport.mly.inputs import inputs_document
from mlserve.types import DType, InputField, Lookups, Vocabulary
from tests.support.ctr import configured
from tests.support.deployments import interface
from tests.support.vocabularies import numbers, words

EXACT = Lookups("exact: it is concatenated")
PLAIN = ModelConfig(id="m", url="m")


def entry(field: InputField, *, dict_hash: int | None = 7) -> dict[str, Any]:
    (made,) = inputs_document(PLAIN, interface(field, dict_hash=dict_hash))
    return {name: value for name, value in made.items() if name not in ("Name", "Index")}


def text(**rest: Any) -> InputField:
    return InputField("s", DType.STRING, (), **rest)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (text(lookups=Lookups("a table", words("a"))), {"DataType": "string"}),
        (text(lookups=Lookups("a table", words())), {"DataType": "string"}),
        (text(lookups=EXACT), {"DataType": "string", "Wildcard": True}),
        (text(), {"DataType": "string", "Wildcard": True}),
        (text(wildcard=True, lookups=EXACT), {"DataType": "string", "Wildcard": True}),
        (text(auxiliary=True), {"DataType": "string", "Auxiliary": True}),
        (text(auxiliary=True, wildcard=True), {"DataType": "string", "Auxiliary": True, "Wildcard": True}),
        (InputField("f", DType.FLOAT32, ()), {"DataType": "float", "Wildcard": True}),
        (InputField("f", DType.FLOAT64, ()), {"DataType": "float64", "Wildcard": True}),
        (InputField("f", DType.FLOAT32, (), precision=4), {"DataType": "float", "Precision": 4}),
        (
            InputField("f", DType.FLOAT32, (), auxiliary=True, precision=4),
            {"DataType": "float", "Auxiliary": True},
        ),
        (InputField("i", DType.INT64, (), lookups=Lookups("a table", numbers(0, 5))), {"DataType": "int64"}),
        (InputField("i", DType.INT32, ()), {"DataType": "int32", "Wildcard": True}),
        (InputField("b", DType.BOOL, ()), {"DataType": "bool", "Wildcard": True}),
        (InputField("v", DType.FLOAT32, (None, 3)), {"DataType": "float", "Wildcard": True, "Shape": [-1, 3]}),
        (InputField("v", DType.FLOAT32, None), {"DataType": "float", "Wildcard": True, "Shape": None}),
    ],
)
def test_each_kind_of_input(field: InputField, expected: dict[str, Any]) -> None:
    """Where the server keeps the value itself, so must clients; where it folds or rounds, so must they."""
    assert entry(field) == expected


@pytest.mark.parametrize(
    "vocabulary",
    [words("a", "\udcff"), Vocabulary((2**63, 1), 0)],
    ids=["a word that is no UTF-8", "a number beyond Go's integers"],
)
def test_a_vocabulary_that_cannot_be_told_is_not_folded_by(vocabulary: Vocabulary) -> None:
    """A client that knows some of the words would take the others for unknown, and answer them alike."""
    dtype = DType.STRING if isinstance(vocabulary.sentinel, str) else DType.UINT64
    assert entry(InputField("x", dtype, (), lookups=Lookups("a table", vocabulary)))["Wildcard"] is True


def test_without_a_dictionary_inputs_are_as_mly_shows_them() -> None:
    """Such clients cache nothing; the keys they send all the same are those they always sent."""
    assert entry(InputField("f", DType.FLOAT32, ()), dict_hash=None) == {"DataType": "float"}
    assert entry(text(lookups=EXACT), dict_hash=None) == {"DataType": "string"}


def places(**settings: Any) -> list[tuple[str, int]]:
    config, face = configured({"ID": "m", "URL": "m", **settings})
    return [(made["Name"], made["Index"]) for made in inputs_document(config.models[0], face)]


def test_index_is_the_place_in_the_configuration() -> None:
    """0 for what mly adds; clients go by the order of the list."""
    assert places() == [("sa", 0), ("sl", 0)]
    assert places(Inputs=[{"Name": "sl"}]) == [("sl", 0), ("sa", 0)]
    assert places(Inputs=["sa", "sl", {"Name": "aux", "Auxiliary": True}]) == [("sa", 0), ("sl", 1), ("aux", 2)]
    assert places(KeyFields=["sa", "aux"], Auxiliary=["b", "aux"]) == [("sa", 0), ("aux", 1), ("b", 2), ("sl", 0)]


def test_a_name_that_json_cannot_hold() -> None:
    """Nobody can send such an input, and the document must be there for the others."""
    (made,) = inputs_document(PLAIN, interface(InputField("a\udcff", DType.STRING, ())))
    assert made["Name"] == "a?"
