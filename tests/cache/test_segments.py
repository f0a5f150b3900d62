"""Operators would look for the reason of a miss in the wrong place if these failed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlserve.cache.key import MAX_ELEMENTS, KeyMaker
from mlserve.cache.segments import explained_segments, rule_of
from mlserve.types import DType, InputField, Lookups, Rows
from mlserve.values.canonical import canonical_rows
from tests.support.deployments import interface, rows
from tests.support.vocabularies import numbers, words

TABLE = Lookups("looked up in table 'countries' (3 words)", words("de", "fr", "us"))
COUNTRY = InputField("s", DType.STRING, (), lookups=TABLE)
CODES = InputField(
    "v", DType.INT64, (3,), lookups=Lookups("columns 0, 2 looked up", columns={0: numbers(5), 2: numbers(6)})
)
EXACT = InputField("s", DType.STRING, (), lookups=Lookups("exact: StringSplit reads it"))


def explained(field: InputField, value: Any) -> dict[str, object]:
    """The document of one input of one row."""
    face = interface(field)
    column = np.empty((1, *np.shape(value)), field.dtype.numpy)
    column[0] = value
    sent = Rows({field.name: column}, 1)
    ((document,),) = explained_segments(face, sent, canonical_rows(sent, face))
    return document


@pytest.mark.parametrize(
    ("field", "value", "segment", "rule"),
    [
        (InputField("x", DType.FLOAT32, (), precision=2), 1.257, "1.26", "rounded to 2 decimals, as the model sees it"),
        (InputField("x", DType.FLOAT32, (), precision=1), 1.25, "1.3", "rounded to 1 decimal, as the model sees it"),
        (InputField("s", DType.STRING, ()), "a/b", "a%2Fb", "the exact value"),
        (EXACT, "a", "a", "the exact value: StringSplit reads it"),
        (COUNTRY, "de", "de", "in the vocabulary; looked up in table 'countries' (3 words)"),
        (COUNTRY, "xx", "[UNK]", "out of vocabulary: stands as [UNK]; looked up in table 'countries' (3 words)"),
        (
            COUNTRY,
            "[UNK]",
            "[UNK]",
            "[UNK] itself, as which all that is out of vocabulary stands; looked up in table 'countries' (3 words)",
        ),
        (
            InputField("n", DType.INT64, (), lookups=Lookups("looked up", columns={0: numbers(5)})),
            7,
            "0",
            "out of vocabulary: stands as 0; looked up",
        ),
        (
            InputField("n", DType.INT64, (), lookups=Lookups("looked up", numbers(0, 5))),
            0,
            "0",
            "in the vocabulary; looked up",
        ),
        (CODES, [5, 9, 6], "[3][5,9,6]", "out of vocabulary: none of its 3 values; columns 0, 2 looked up"),
        (CODES, [5, 9, 7], "[3][5,9,0]", "out of vocabulary: 1 of its 3 values, standing as 0; columns 0, 2 looked up"),
        (InputField("v", DType.INT64, (2,)), [1, 2], "[2][1,2]", "the exact values"),
        (InputField("v", DType.INT64, (None,)), [], "[0][]", "the exact values"),
        (InputField("a", DType.INT64, (), auxiliary=True, wildcard=True), 6, "6", "the exact value"),
        (
            InputField("a", DType.INT64, (), auxiliary=True),
            5,
            "",
            "not in the key: an auxiliary input that KeyFields does not name",
        ),
    ],
)
def test_the_rule_that_made_a_segment(field: InputField, value: Any, segment: str, rule: str) -> None:
    """Beside the value that came, not the one that it became."""
    document = explained(field, value)
    assert list(document) == ["input", "value", "segment", "rule"]
    assert (document["input"], document["segment"], document["rule"]) == (field.name, segment, rule)
    assert np.array_equal(np.asarray(document["value"]), np.asarray(value, field.dtype.numpy))


def test_long_rows_stand_as_a_digest_but_for_text() -> None:
    """The key shows no value to compare with."""
    many = MAX_ELEMENTS + 1
    document = explained(InputField("v", DType.FLOAT32, (None,)), [0.5] * many)
    assert document["rule"] == f"the exact values; the segment is a digest of its {many} values"
    assert explained(InputField("v", DType.FLOAT32, (None,)), [0.5] * MAX_ELEMENTS)["rule"] == "the exact values"
    assert explained(InputField("s", DType.STRING, (None,)), ["a"] * many)["rule"] == "the exact values"


def test_the_segments_of_a_row_are_its_key() -> None:
    """In order, one document per input; rows keep theirs apart."""
    face = interface(COUNTRY, InputField("x", DType.FLOAT32, (), precision=1), InputField("w", DType.STRING, ()))
    sent = rows(s=["de", "xx"], x=[1.04, 2], w=["a/b", "c"])
    canonical = canonical_rows(sent, face)
    documents = explained_segments(face, sent, canonical)
    keys = ["/".join(str(document["segment"]) for document in row) for row in documents]
    assert keys == KeyMaker(face).keys(canonical) == ["de/1.0/a%2Fb", "[UNK]/2.0/c"]
    assert [row[0]["value"] for row in documents] == ["de", "xx"]


def test_no_rows_and_no_inputs() -> None:
    face = interface(COUNTRY)
    nothing = Rows({"s": np.empty(0, object)}, 0)
    assert explained_segments(face, nothing, nothing) == []


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        (COUNTRY, "out of vocabulary: [UNK]; looked up in table 'countries' (3 words)"),
        (CODES, "out of vocabulary: 0; columns 0, 2 looked up"),
        (EXACT, "exact: StringSplit reads it"),
        (InputField("s", DType.STRING, ()), "exact"),
        (InputField("x", DType.FLOAT32, ()), "exact; Precision would round it"),
        (InputField("x", DType.FLOAT32, (), precision=2), "rounded to 2 decimals"),
        (InputField("a", DType.INT64, (), auxiliary=True, wildcard=True), "exact"),
        (
            InputField("a", DType.INT64, (), auxiliary=True),
            "not in the key: an auxiliary input that KeyFields does not name",
        ),
    ],
)
def test_the_rule_of_an_input_whatever_its_value(field: InputField, rule: str) -> None:
    """What ``inspect`` shows before anybody asks."""
    assert rule_of(field) == rule
