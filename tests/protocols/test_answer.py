"""Would fail if an answer's JSON lost a value, a dimension, or the row it belongs to."""

from __future__ import annotations

import math
from base64 import b64decode
from typing import Any

import ml_dtypes
import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlserve.protocols.answer import data_json
from mlserve.types import DType, Interface, Rows, Serving, TensorSpec
from mlserve.values import count_non_finite


def printed(
    column: Any, *, batch: bool = False, serving: Serving = Serving.ROWS, spec: TensorSpec | None = None
) -> str:
    outputs = None if spec is None else (spec,)
    rows = Rows({"o": column}, len(column))
    return data_json(rows, Interface((), outputs, serving), batch=batch).json.decode()


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
    text = data_json(rows, Interface((), None, Serving.ROWS), batch=True).json
    assert text == b'[{"a":1,"b":0.5,"c":"x"},{"a":2,"b":null,"c":"y"}]'


def test_a_batch_of_one_is_a_list() -> None:
    assert printed(np.array([1]), batch=True) == '[{"o":1}]'


def test_outputs_come_in_the_order_of_the_interface() -> None:
    specs = tuple(TensorSpec(name, DType.INT64, (None, 1)) for name in ("b", "a"))
    rows = Rows({"a": np.array([1]), "b": np.array([2])}, 1)
    assert data_json(rows, Interface((), specs, Serving.ROWS), batch=False).json == b'{"b":2,"a":1}'


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
    assert data_json(rows, Interface((), None, Serving.ROWS), batch=False).json == b'{"a\\"\\n":1}'


def test_a_model_without_outputs_answers_empty_rows() -> None:
    assert data_json(Rows({}, 2), Interface((), (), Serving.ROWS), batch=True).json == b"[{},{}]"


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


FLOATS = st.floats(width=32) | st.sampled_from([0.0, -0.0, 1e-30, 1e30, math.nan, -math.inf])
LABELS = st.text(max_size=3) | st.sampled_from(["},{", '","', "a\n", "\udcff", "null"])
MAPS = st.dictionaries(LABELS, FLOATS, max_size=3) | st.dictionaries(st.integers(0, 9), FLOATS | st.none(), max_size=3)
OBJECTS = {
    "strings": STRINGS | LABELS,
    "maps": MAPS,
    "plain maps": st.dictionaries(st.sampled_from(["a", "b},{", "c"]), st.floats(-5, 5), max_size=2),
    "mixed": STRINGS | MAPS | FLOATS | st.none() | st.lists(FLOATS, max_size=2),
}
DTYPES = (np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.complex64, np.int64, np.uint8, np.bool_)


@st.composite
def answers(draw: st.DrawFn) -> Rows:
    """Some columns of every kind that models and transformers answer."""
    count = draw(st.integers(1, 4))
    columns: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(["a", 'q"', "é", "},{"]), unique=True, max_size=3)):
        kind = draw(st.sampled_from([*OBJECTS, *DTYPES]))
        if isinstance(kind, str):
            columns[name] = objects(*draw(st.lists(OBJECTS[kind], min_size=count, max_size=count)))
            continue
        shape = (count, *draw(st.sampled_from([(), (1,), (2,), (2, 2), (0,), (1, 1)])))
        flat = draw(st.lists(FLOATS, min_size=math.prod(shape), max_size=math.prod(shape)))
        values = np.array(flat, np.float64).reshape(shape)
        with np.errstate(all="ignore"):
            columns[name] = (values if np.dtype(kind).kind in "fcV" else np.nan_to_num(values) % 200).astype(kind)
    return Rows(columns, count)


@settings(max_examples=300, deadline=None)
@given(answers(), st.sampled_from([Serving.ROWS, Serving.WHOLE]))
def test_a_batch_says_of_each_row_what_that_row_alone_says(answer: Rows, serving: Serving) -> None:
    """One row, a batch, plain and odd values are printed by different ways, whose bytes must not differ."""
    interface = Interface((), None, serving)
    alone = [data_json(answer.take([row]), interface, batch=False) for row in range(answer.count)]
    together = data_json(answer, interface, batch=True)
    assert together.json == b"[" + b",".join([data.json for data in alone]) + b"]"
    assert together.non_finite == sum([data.non_finite for data in alone]) == count_non_finite(answer)
    assert [list(row) for row in orjson.loads(together.json)] == [list(answer.columns)] * answer.count


@given(answers())
def test_every_value_is_printed_as_if_it_were_alone(answer: Rows) -> None:
    """A row's text holds no other row's value, and no other column's."""
    interface = Interface((), None, Serving.ROWS)
    found = orjson.loads(data_json(answer, interface, batch=True).json)
    for name, column in answer.columns.items():
        single = [
            data_json(Rows({"v": column[row : row + 1]}, 1), interface, batch=False).json for row in range(answer.count)
        ]
        assert [row[name] for row in found] == [orjson.loads(text)["v"] for text in single]


def test_numbers_of_the_other_byte_order_are_the_same_numbers() -> None:
    assert printed(np.array([1, 2], ">i4"), batch=True) == '[{"o":1},{"o":2}]'
    assert printed(np.array([[0.5, 2]], ">f4")) == '{"o":[0.5,2.0]}'
    assert printed(np.array([0.1], ">f4")) == '{"o":0.1}'
