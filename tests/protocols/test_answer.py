"""Would fail if an answer's JSON lost a value, a dimension, or the row it belongs to."""

from __future__ import annotations

import math
from base64 import b64decode
from typing import Any

import ml_dtypes
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.protocols.answer import data_json
from mlserve.types import DType, Interface, Rows, Serving, TensorSpec


def printed(
    column: Any, *, batch: bool = False, serving: Serving = Serving.ROWS, spec: TensorSpec | None = None
) -> str:
    outputs = None if spec is None else (spec,)
    rows = Rows({"o": column}, len(column))
    return data_json(rows, Interface((), outputs, serving), batch=batch).decode()


def objects(*values: Any) -> Any:
    column = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        column[index] = value
    return column


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (np.array([25], np.int64), "25"),
        (np.array([[25]], np.int64), "25"),
        (np.array([2**64 - 1], np.uint64), "18446744073709551615"),
        (np.array([-(2**63)], np.int64), "-9223372036854775808"),
        (np.array([[3.5714285]], np.float32), "3.5714285"),
        (np.array([3.5714285], np.float32), "3.5714285"),
        (np.array([0.1], np.float64), "0.1"),
        (np.array([0.1], np.float16), "0.1"),
        (np.array([0.1], ml_dtypes.bfloat16), "0.1"),
        (np.array([math.nan], np.float32), "null"),
        (np.array([[math.nan, math.inf, -math.inf, 1.5]]), "[null,null,null,1.5]"),
        (np.array([True]), "true"),
        (np.array([[True, False]]), "[true,false]"),
        (np.array([[1, 2, 3]], np.int8), "[1,2,3]"),
        (np.array([[[1], [2]]], np.int32), "[[1],[2]]"),
        (np.array([[[1.5]]], np.float32), "[[1.5]]"),
        (np.zeros((1, 0), np.float32), "[]"),
        (np.array([1 - 2j], np.complex64), "[1.0,-2.0]"),
        (np.array([[0.1j, 1]], np.complex64), "[[0.0,0.1],[1.0,0.0]]"),
        (np.arange(6, dtype=np.float32).reshape(3, 2).T[:1], "[0.0,2.0,4.0]"),
        (np.arange(6, dtype=np.int32).reshape(3, 2).T[:1], "[0,2,4]"),
        (objects("a"), '"a"'),
        (np.array([["a"]], object), '"a"'),
        (np.array([["a", "b"]], object), '["a","b"]'),
        (objects('q"\\\n\t\0\x7fé'), '"q\\"\\\\\\n\\t\\u0000\x7fé"'),
        (objects("\udcff"), '{"b64":"/w=="}'),
        (np.array([["\udcff", "a"]], object), '[{"b64":"/w=="},"a"]'),
        (np.array(["é"]), '"é"'),
        (np.array([b"\xff"]), '{"b64":"/w=="}'),
        (objects({"Adelie": np.float32(0.26), "Gentoo": np.float32(0.74)}), '{"Adelie":0.26,"Gentoo":0.74}'),
        (objects({0: 0.5, np.int64(2): math.nan}), '{"0":0.5,"2":null}'),
        (objects({True: 1, "\udcff": 2}), '{"true":1,"\\\\xff":2}'),
        (objects({"a": 1e-30}), '{"a":0.000000000000000000000000000001}'),
        (
            objects([None, 1, np.int8(2), np.bool_(True), 0.5, (1j,), np.array([1.5]), b"a", np.array(2)]),
            '[null,1,2,true,0.5,[[0.0,1.0]],[1.5],"a",2]',
        ),
        (objects([ml_dtypes.bfloat16(0.1), np.float16(0.1), np.float32(0.1), np.float64(0.1)]), "[0.1,0.1,0.1,0.1]"),
        (objects(None), "null"),
    ],
)
def test_one_row(column: Any, text: str) -> None:
    assert printed(column) == f'{{"o":{text}}}'


def test_a_batch_keeps_its_rows_in_order() -> None:
    rows = Rows({"a": np.array([[1], [2]]), "b": np.array([0.5, math.nan], np.float32), "c": objects("x", "y")}, 2)
    text = data_json(rows, Interface((), None, Serving.ROWS), batch=True)
    assert text == b'[{"a":1,"b":0.5,"c":"x"},{"a":2,"b":null,"c":"y"}]'


def test_a_batch_of_one_is_a_list() -> None:
    assert printed(np.array([1]), batch=True) == '[{"o":1}]'


def test_outputs_come_in_the_order_of_the_interface() -> None:
    specs = tuple(TensorSpec(name, DType.INT64, (None, 1)) for name in ("b", "a"))
    rows = Rows({"a": np.array([1]), "b": np.array([2])}, 1)
    assert data_json(rows, Interface((), specs, Serving.ROWS), batch=False) == b'{"b":2,"a":1}'


def test_an_output_of_free_width_is_a_list_whatever_its_width() -> None:
    for width in (1, 2):
        text = printed(np.ones((1, width), np.int64), spec=TensorSpec("o", DType.INT64, (None, None)))
        assert text == '{"o":' + str([1] * width).replace(" ", "") + "}"
    assert printed(np.ones((1, 1), np.int64), spec=TensorSpec("o", DType.INT64, None)) == '{"o":1}'


@pytest.mark.parametrize(("shape", "text"), [((), "1"), ((1,), "[1]"), ((1, 1), "[[1]]"), ((2, 1), "[[1],[1]]")])
def test_a_model_served_whole_answers_by_full_rank(shape: tuple[int, ...], text: str) -> None:
    assert printed(np.ones((1, *shape), np.int64), serving=Serving.WHOLE) == f'{{"o":{text}}}'


def test_names_are_escaped() -> None:
    rows = Rows({'a"\n': np.array([1])}, 1)
    assert data_json(rows, Interface((), None, Serving.ROWS), batch=False) == b'{"a\\"\\n":1}'


def test_a_model_without_outputs_answers_empty_rows() -> None:
    assert data_json(Rows({}, 2), Interface((), (), Serving.ROWS), batch=True) == b"[{},{}]"


@pytest.mark.parametrize("value", [object(), {1, 2}, np.datetime64("2024-01-01")])
def test_what_json_cannot_say_is_an_error_that_names_the_type(value: Any) -> None:
    with pytest.raises(TypeError, match=f"holds a {type(value).__name__}, which has no form in JSON"):
        printed(objects(value))


STRINGS = st.text(st.characters(exclude_categories=("Cs",))) | st.binary().map(
    lambda raw: raw.decode("utf-8", "surrogateescape")
)


@given(st.lists(STRINGS, min_size=1))
def test_every_string_reads_back(values: list[str]) -> None:
    rows = orjson.loads(printed(objects(*values), batch=True))
    for row, value in zip(rows, values, strict=True):
        raw = b64decode(row["o"]["b64"]) if isinstance(row["o"], dict) else row["o"].encode()
        assert raw == value.encode("utf-8", "surrogateescape")
