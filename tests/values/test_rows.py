"""Would fail if a value's nesting, or ``batch_size``, were read as another number of rows than the caller meant."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mlserve.errors import BadRequest, TooLarge
from mlserve.types import DType, InputField, Interface, Serving
from mlserve.values import rows_from_values


def interface(*fields: InputField, serving: Serving = Serving.ROWS) -> Interface:
    return Interface(fields, None, serving)


TEXT = InputField("s", DType.STRING, ())
NUMBER = InputField("x", DType.FLOAT32, ())
PAIR = interface(TEXT, NUMBER)


def columns(face: Interface, values: dict[str, Any], batch_size: Any = None, max_rows: int = 100) -> Any:
    rows, batch = rows_from_values(face, values, batch_size, max_rows)
    assert all(len(column) == rows.count for column in rows.columns.values())
    return {name: column.tolist() for name, column in rows.columns.items()}, batch


@pytest.mark.parametrize(
    ("values", "batch_size", "s", "x", "batch"),
    [
        ({"s": "a", "x": 1.5}, None, ["a"], [1.5], False),
        ({"x": 1.5, "s": "a"}, None, ["a"], [1.5], False),
        ({"s": "a", "x": 1.5}, 1, ["a"], [1.5], True),
        ({"s": ["a"], "x": [1.5]}, 1, ["a"], [1.5], True),
        ({"s": ["a"], "x": [1.5]}, None, ["a"], [1.5], True),
        ({"s": "a", "x": 1.5}, 3, ["a"] * 3, [1.5] * 3, True),
        ({"s": ["a", "b"], "x": [1, 2]}, None, ["a", "b"], [1, 2], True),
        ({"s": ["a", "b"], "x": [1, 2]}, 2, ["a", "b"], [1, 2], True),
        ({"s": ["a", "b"], "x": [1]}, 2, ["a", "b"], [1, 1], True),
        ({"s": ["a", "b"], "x": [1]}, None, ["a", "b"], [1, 1], True),
        ({"s": ["a", "b"], "x": 1}, None, ["a", "b"], [1, 1], True),
        ({"s": ["c"], "x": [2]}, 3, ["c"] * 3, [2] * 3, True),
    ],
)
def test_scalars_lists_and_lists_of_one(
    values: dict[str, Any], batch_size: int | None, s: list[str], x: list[float], batch: bool
) -> None:
    assert columns(PAIR, values, batch_size) == ({"s": s, "x": x}, batch)


def test_columns_keep_the_order_and_dtypes_of_the_interface() -> None:
    rows, _ = rows_from_values(PAIR, {"x": 1, "s": "a"}, None, 1)
    assert list(rows.columns) == ["s", "x"]
    assert [column.dtype for column in rows.columns.values()] == [np.dtype(object), np.dtype(np.float32)]


@pytest.mark.parametrize(
    ("values", "batch_size", "fragment"),
    [
        ({"s": ["a", "b"], "x": 1}, 3, "field 's': a list of 2 rows, batch_size is 3"),
        ({"s": ["a", "b", "c"], "x": 1}, 2, "field 's': a list of 3 rows, batch_size is 2"),
        ({"s": ["a", "b", "c"], "x": [1, 2]}, None, "field 'x': a list of 2 rows, the longest list has 3"),
        ({"s": [], "x": 1}, None, "field 's': the list is empty"),
        ({"s": [], "x": 1}, 2, "field 's': the list is empty"),
        ({"s": [], "x": 1}, 1, "field 's': the list is empty"),
        ({"s": "a", "x": 1}, 0, "from 1 to 100, got 0"),
        ({"s": "a", "x": 1}, True, "from 1 to 100, got true"),
        ({"s": "a", "x": 1}, "1", "from 1 to 100, got '1'"),
        ({"s": "a", "x": 1}, 1.0, "from 1 to 100, got 1.0"),
    ],
)
def test_lengths_that_fit_nothing_are_refused(values: dict[str, Any], batch_size: Any, fragment: str) -> None:
    with pytest.raises(BadRequest) as caught:
        rows_from_values(PAIR, values, batch_size, 100)
    assert fragment in str(caught.value)


def test_rows_are_counted_before_any_are_made() -> None:
    for values, batch_size in (
        ({"s": "a", "x": 1}, 2**60),
        ({"s": "a", "x": 1}, 1e300),
        ({"s": ["a"] * 101, "x": 1}, None),
    ):
        with pytest.raises(TooLarge, match=r"at most 100 (rows )?are taken"):
            rows_from_values(PAIR, values, batch_size, 100)


def test_one_large_value_for_many_rows_cannot_fill_the_memory() -> None:
    vector = interface(InputField("v", DType.FLOAT64, (None,)))
    with pytest.raises(TooLarge, match="send fewer rows"):
        rows_from_values(vector, {"v": [0.5] * 10_000}, 10_000, 10_000)
    with pytest.raises(TooLarge, match="send fewer rows"):
        rows_from_values(interface(TEXT), {"s": "a" * 1_000_000}, 10_000, 10_000)


VECTOR = interface(InputField("v", DType.INT64, (2,)), TEXT)
MATRIX = interface(InputField("m", DType.INT64, (None, 2)))


@pytest.mark.parametrize(
    ("value", "batch_size", "shape", "batch"),
    [
        ([1, 2], None, (1, 2), False),
        ([1, 2], 1, (1, 2), True),
        ([1, 2], 3, (3, 2), True),
        ([[1, 2]], None, (1, 2), True),
        ([[1, 2], [3, 4]], None, (2, 2), True),
        ([[1, 2]], 3, (3, 2), True),
    ],
)
def test_depth_tells_a_row_from_a_list_of_rows(value: Any, batch_size: Any, shape: Any, batch: bool) -> None:
    rows, is_batch = rows_from_values(VECTOR, {"v": value, "s": "a"}, batch_size, 100)
    assert rows.columns["v"].shape == shape
    assert is_batch is batch


@pytest.mark.parametrize(
    ("value", "fragment"),
    [
        (1, "field 'v': expected a list of shape [2] (int64), or a list of such, one per row, got 1"),
        ([1], "field 'v': expected a row of shape [2], got [1]"),
        ([1, 2, 3], "field 'v': expected a row of shape [2], got [3]"),
        ([[[1, 2]]], "got lists nested 3 deep"),
        ([[1, 2], [3]], "field 'v', row 1: 1 values, where those before it have 2"),
        ([[1, 2], 3], "field 'v', row 1: a single value stands where the others are lists"),
        ([[1, 2], [3, "4"]], "field 'v', row 1, element [1]: expected a whole number"),
        ([1, [2]], "field 'v', element [1]: expected a whole number"),
        ([[], []], "field 'v', row 0: the list is empty"),
        (None, "field 'v': expected a list of shape [2] (int64)"),
        ([1, None], "field 'v', element [1]"),
        ("12", "field 'v': expected a list of shape [2] (int64)"),
    ],
)
def test_shapes_that_fit_nothing_name_field_and_row(value: Any, fragment: str) -> None:
    with pytest.raises(BadRequest) as caught:
        rows_from_values(VECTOR, {"v": value, "s": "a"}, None, 100)
    assert fragment in str(caught.value)
    assert caught.value.field == "v"


def test_free_dimensions_vary_between_requests_but_not_within_one() -> None:
    for height in (1, 2, 5):
        rows, _ = rows_from_values(MATRIX, {"m": [[[1, 2]] * height] * 3}, None, 100)
        assert rows.columns["m"].shape == (3, height, 2)
    with pytest.raises(BadRequest, match="field 'm', row 1: 2 values, where those before it have 1"):
        rows_from_values(MATRIX, {"m": [[[1, 2]], [[1, 2], [3, 4]]]}, None, 100)
    with pytest.raises(BadRequest, match=r"field 'm', row 0, element \[1\]: 1 values, where those before it have 2"):
        rows_from_values(MATRIX, {"m": [[[1, 2], [3]]]}, None, 100)


def test_unknown_rank_is_one_row_unless_batch_size_is_given() -> None:
    free = interface(InputField("v", DType.FLOAT32, None))
    assert rows_from_values(free, {"v": 1}, None, 9)[0].columns["v"].shape == (1,)
    assert rows_from_values(free, {"v": [[1, 2], [3, 4]]}, None, 9)[0].columns["v"].shape == (1, 2, 2)
    assert rows_from_values(free, {"v": [[1, 2], [3, 4]]}, 2, 9)[0].columns["v"].shape == (2, 2)
    assert rows_from_values(free, {"v": 1}, 2, 9)[0].columns["v"].shape == (2,)
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    with pytest.raises(BadRequest, match="nested 500 lists deep, at most 32"):
        rows_from_values(free, {"v": deep}, None, 9)


WHOLE = interface(
    InputField("v", DType.FLOAT32, (2, None)), InputField("k", DType.INT64, ()), TEXT, serving=Serving.WHOLE
)


def test_a_model_served_whole_takes_one_row_of_the_whole_tensor() -> None:
    rows, batch = rows_from_values(WHOLE, {"v": [[1, 2, 3], [4, 5, 6]], "k": 1, "s": "a"}, None, 100)
    assert (rows.count, batch) == (1, False)
    assert {name: column.shape for name, column in rows.columns.items()} == {"v": (1, 2, 3), "k": (1,), "s": (1,)}


@pytest.mark.parametrize(
    ("values", "batch_size", "fragment"),
    [
        ({"v": [[1], [2]], "k": 1, "s": "a"}, 2, "leave batch_size out"),
        ({"v": [[1], [2]], "k": 1, "s": "a"}, 1, "leave batch_size out"),
        ({"v": [[1], [2]], "k": [1], "s": "a"}, None, "field 'k': expected a number (int64), got a list of 1"),
        ({"v": [[[1], [2]]], "k": 1, "s": "a"}, None, "expected 2 nested lists of shape [2,-1] (float32), got"),
        ({"v": [[1]], "k": 1, "s": "a"}, None, "expected a row of shape [2,-1], got [1,1]"),
    ],
)
def test_a_model_served_whole_takes_no_batches(values: dict[str, Any], batch_size: Any, fragment: str) -> None:
    with pytest.raises(BadRequest) as caught:
        rows_from_values(WHOLE, values, batch_size, 100)
    assert fragment in str(caught.value)


DEFAULTS = interface(
    InputField("x", DType.FLOAT32, (), default=math.nan),
    InputField("s", DType.STRING, (), default="?"),
    InputField("v", DType.INT64, (2,), default=0),
    InputField("w", DType.INT64, (None,), default=[7]),
)


def test_null_and_absent_inputs_take_their_default() -> None:
    for values in ({}, {"x": None, "s": None, "v": None, "w": None}):
        found, batch = columns(DEFAULTS, values)
        assert math.isnan(found.pop("x")[0])
        assert (found, batch) == ({"s": ["?"], "v": [[0, 0]], "w": [[7]]}, False)


def test_null_within_a_column_takes_the_default() -> None:
    found, _ = columns(DEFAULTS, {"x": [1, None], "s": [None, "b"], "v": [[1, None], None], "w": [None, [8]]})
    assert math.isnan(found["x"][1])
    assert found["s"] == ["?", "b"]
    assert found["v"] == [[1, 0], [0, 0]]
    assert found["w"] == [[7], [8]]


def test_null_without_a_default_is_refused() -> None:
    for value in (None, [None], ["a", None]):
        with pytest.raises(BadRequest, match="null is for inputs with a Default"):
            rows_from_values(PAIR, {"s": value, "x": 1}, None, 9)


def test_a_list_default_does_not_fill_single_elements() -> None:
    with pytest.raises(BadRequest, match=r"field 'w', element \[0\].*got null"):
        rows_from_values(DEFAULTS, {"w": [None, 1]}, None, 9)


def test_auxiliary_inputs_are_columns_like_any_other() -> None:
    face = interface(TEXT, InputField("aux", DType.INT32, (), auxiliary=True))
    assert columns(face, {"s": "a", "aux": 5}) == ({"s": ["a"], "aux": [5]}, False)
    with pytest.raises(BadRequest, match=r"missing fields: \[aux\]"):
        rows_from_values(face, {"s": "a"}, None, 9)


def test_complex_numbers_are_pairs_one_list_deeper() -> None:
    face = interface(InputField("z", DType.COMPLEX64, ()), InputField("w", DType.COMPLEX128, (2,)))
    rows, batch = rows_from_values(face, {"z": [1, -2], "w": [[1, 0], [0, 1]]}, None, 9)
    assert not batch
    assert rows.columns["z"].tolist() == [1 - 2j]
    assert rows.columns["w"].tolist() == [[1, 1j]]
    rows, batch = rows_from_values(face, {"z": [[1, -2], [3, 4]], "w": [[1, 0], [0, 1]]}, None, 9)
    assert batch
    assert rows.columns["z"].tolist() == [1 - 2j, 3 + 4j]
    assert rows.columns["w"].shape == (2, 2)


def test_a_model_without_inputs_answers_one_row() -> None:
    assert rows_from_values(interface(), {}, None, 9)[0].count == 1
