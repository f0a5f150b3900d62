"""What a server printed comes back as what it held; what is found in a tier looks like what a server prints."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.client.typed import Misshapen, one_row, rows_of, with_scalars
from mlserve.protocols.answer import data_json
from mlserve.types import Array, DType, Rows, TensorSpec
from tests.support.deployments import interface

NUMBERS = [dtype for dtype in DType if dtype.is_float or dtype.is_integer or dtype is DType.BOOL]


def spec(dtype: DType, *row: int | None) -> TensorSpec:
    return TensorSpec("y", dtype, (None, *(row or (1,))))


def read(column: Array, declared: TensorSpec, *, batch: bool = True) -> Array:
    """``column`` as a client has it that was answered by a server with that output."""
    face = interface(outputs=(declared,))
    data = orjson.loads(data_json(Rows({"y": column}, len(column)), face, batch=batch).json)
    return rows_of(data, {"y": declared}).columns["y"]


@pytest.mark.parametrize("dtype", NUMBERS)
@given(data=st.data())
def test_numbers_keep_type_and_value(dtype: DType, data: st.DataObject) -> None:
    """A float32 that came back as another, or as a double, would not be the answer of the model."""
    bits = data.draw(st.binary(min_size=dtype.numpy.itemsize * 3, max_size=dtype.numpy.itemsize * 3))
    column = np.frombuffer(bits, np.uint8 if dtype is DType.BOOL else dtype.numpy)
    column = column > 127 if dtype is DType.BOOL else column
    if dtype.is_float:
        with np.errstate(invalid="ignore"):
            column = np.where(np.isfinite(column.astype(np.float64)), column, np.nan).astype(dtype.numpy)
    found = read(column, spec(dtype))
    assert found.dtype == dtype.numpy
    np.testing.assert_array_equal(found.astype(np.float64), column.astype(np.float64))


@given(st.lists(st.text(st.characters(codec="utf-8")) | st.just("\udcff"), min_size=1, max_size=4))
def test_texts_come_back_even_if_they_are_none(texts: list[str]) -> None:
    column = np.empty(len(texts), object)
    column[:] = texts
    assert read(column, spec(DType.STRING)).tolist() == texts


def test_complex_numbers_and_wider_outputs() -> None:
    """Vectors are rows of arrays, of one value too where the width is free."""
    column = np.array([1 + 2j, -0.5j], np.complex64)
    assert read(column, spec(DType.COMPLEX64)).tolist() == column.tolist()
    box = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert read(box, spec(DType.FLOAT32, 3)).tolist() == box.tolist()
    assert read(box[:, :1], spec(DType.FLOAT32, None)).shape == (2, 1)
    assert read(box[:, :1], spec(DType.FLOAT32, 1)).shape == (2,)


def test_maps_stay_maps() -> None:
    column = np.empty(2, object)
    column[:] = [{"a": 0.5, "b": 1.0}, {"a": 0.25, "b": 2.0}]
    assert read(column, spec(DType.JSON)).tolist() == column.tolist()


@pytest.mark.parametrize(
    ("values", "declared", "dtype"),
    [
        ([0.123456789012], DType.FLOAT32, np.float64),
        ([1, 2], DType.BOOL, np.int64),
        ([1.5], DType.INT64, np.float64),
        ([25.0], DType.INT64, np.float64),
        ([1e300], DType.FLOAT32, np.float64),
        (["a"], DType.FLOAT32, object),
        ([2**63], DType.INT64, np.uint64),
        ([2**63, -1], DType.INT64, object),
        ([True, 1], DType.INT64, object),
        ([None, None], DType.STRING, object),
    ],
)
def test_what_a_transformer_makes_of_an_output_is_not_bent_to_its_type(
    values: list[Any], declared: DType, dtype: Any
) -> None:
    """The document tells the model's types; a transformer may answer others under the same names."""
    found = rows_of([{"y": value} for value in values], {"y": spec(declared)}).columns["y"]
    assert found.dtype == dtype
    assert found.tolist() == values


@pytest.mark.parametrize("values", [[[1], [1, 2]], [[], []], [[[1]], [2]]])
def test_rows_that_are_no_box_stay_lists(values: list[Any]) -> None:
    found = rows_of([{"y": value} for value in values], {}).columns["y"]
    assert (found.dtype, list(found)) == (object, values)


@pytest.mark.parametrize("data", [1, [], [1], "x", [{"y": 1}, {"z": 1}], None])
def test_what_is_no_rows_is_told(data: Any) -> None:
    with pytest.raises(Misshapen):
        rows_of(data, {})


def test_one_row_is_plain() -> None:
    """What curl shows is what a caller holds: not 0.07310000061988831."""
    row = rows_of({"f": 0.0731, "i": 3, "s": "x", "v": [1, 2], "n": None, "b": True}, {"f": spec(DType.FLOAT32)})
    data = one_row(row)
    assert (data["f"], data["i"], data["s"], data["b"]) == (0.0731, 3, "x", True)
    assert [type(data[name]) for name in "fisb"] == [float, int, str, bool]
    assert data["v"].tolist() == [1, 2]
    assert data["n"] is None
    assert one_row(rows_of({"n": 0.1}, {"n": spec(DType.BFLOAT16)}))["n"] == 0.1
    assert math.isnan(one_row(rows_of({"n": None}, {"n": spec(DType.FLOAT32)}))["n"])


def test_rows_of_a_tier_have_the_shape_of_answers() -> None:
    """Servers store a column as the model gave it; beside rows of an answer it must have their shape."""
    rows = Rows({"y": np.ones((2, 1)), "v": np.ones((2, 1)), "w": np.ones((2, 3))}, 2)
    shaped = with_scalars(rows, {"y": spec(DType.FLOAT64), "v": spec(DType.FLOAT64, None)})
    assert {name: column.shape for name, column in shaped.columns.items()} == {"y": (2,), "v": (2, 1), "w": (2, 3)}
