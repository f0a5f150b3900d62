"""Would fail if a row shown as plain values, or counted for metrics, were not the row that was there."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mlserve.types import DType, InputField, Interface, Rows, Serving
from mlserve.values import count_non_finite, default_row, plain_row, plain_value, rows_from_values

INPUTS = [dtype for dtype in DType if dtype is not DType.JSON]


def elements(dtype: DType) -> st.SearchStrategy[Any]:
    if dtype is DType.STRING:
        texts = st.text(st.characters(exclude_categories=("Cs",)))
        return texts | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape"))
    if dtype is DType.BOOL:
        return st.booleans()
    if dtype.is_integer:
        return st.integers(int(np.iinfo(dtype.numpy).min), int(np.iinfo(dtype.numpy).max))
    width = 32 if dtype in (DType.FLOAT32, DType.COMPLEX64) else 64
    if dtype.is_complex:
        return st.complex_numbers(allow_nan=False, allow_infinity=False, width=width * 2)
    if dtype in (DType.FLOAT16, DType.BFLOAT16):
        every = np.arange(2**16, dtype=np.uint16).view(dtype.numpy)
        with np.errstate(invalid="ignore"):
            return st.sampled_from(every[np.isfinite(every)].astype(float).tolist())
    return st.floats(width=width, allow_nan=False, allow_infinity=False)


@st.composite
def row_batches(draw: st.DrawFn) -> tuple[Interface, Rows]:
    dtype = draw(st.sampled_from(INPUTS))
    dims = draw(st.just(()) | arrays.array_shapes(min_dims=1, max_dims=3, min_side=2, max_side=3))
    count = draw(st.integers(1, 3))
    size = count * math.prod(dims)
    flat = draw(st.lists(elements(dtype), min_size=size, max_size=size))
    column = np.empty(size, dtype=dtype.numpy)
    column[:] = flat
    field = InputField("v", dtype, draw(st.sampled_from((dims, (None,) * len(dims)))))
    return Interface((field,), None, Serving.ROWS), Rows({"v": column.reshape(count, *dims)}, count)


@given(row_batches())
def test_plain_values_build_the_same_rows_again(case: tuple[Interface, Rows]) -> None:
    interface, rows = case
    values = [plain_row(rows, index)["v"] for index in range(rows.count)]
    batch, is_batch = rows_from_values(interface, {"v": values}, None, 100)
    assert is_batch
    assert batch.columns["v"].dtype == rows.columns["v"].dtype
    np.testing.assert_array_equal(batch.columns["v"], rows.columns["v"])
    single, is_batch = rows_from_values(interface, {"v": values[0]}, None, 100)
    assert not is_batch
    np.testing.assert_array_equal(single.columns["v"], rows.columns["v"][:1])


@pytest.mark.parametrize(
    ("column", "plain"),
    [
        (np.array([[25.0]], np.float32), 25.0),
        (np.array([25]), 25),
        (np.array([[1, 2]]), [1, 2]),
        (np.array([[[1]]]), [[1]]),
        (np.array([True]), True),
        (np.array([1 + 2j]), [1.0, 2.0]),
        (np.array([[1 + 2j, 3]]), [[1.0, 2.0], [3.0, 0.0]]),
        (np.array([1.5], ml_dtypes.bfloat16), 1.5),
        (np.array([[1.5, 2]], ml_dtypes.bfloat16), [1.5, 2.0]),
        (np.array(["a\udcff"], object), "a\udcff"),
        (np.array([{"a": np.float32(0.5), "b": [np.int64(1)]}], object), {"a": 0.5, "b": [1]}),
    ],
)
def test_rows_are_plain(column: Any, plain: Any) -> None:
    found = plain_row(Rows({"v": column}, 1), 0)["v"]
    assert found == plain
    assert type(found) is type(plain)


def test_arrays_within_values_become_lists() -> None:
    assert plain_value({"a": (np.arange(2), np.float16(1))}) == {"a": [[0, 1], 1.0]}


@pytest.mark.parametrize(
    ("column", "count"),
    [
        (np.array([1.0, math.nan, math.inf]), 2),
        (np.array([[1.0, -math.inf]], np.float32), 1),
        (np.array([math.nan], ml_dtypes.bfloat16), 1),
        (np.array([complex(math.nan, 0)]), 1),
        (np.array([1, 2]), 0),
        (np.array([True]), 0),
        (np.array(["nan"], object), 0),
        (np.array([{"a": math.nan, "b": [math.inf, 1, "x"]}], object), 2),
        (np.array([np.float32(math.nan), {"a": np.array([math.inf])}], object), 2),
    ],
)
def test_non_finite_numbers_are_counted_wherever_they_are(column: Any, count: int) -> None:
    assert count_non_finite(Rows({"v": column, "w": np.zeros(len(column))}, len(column))) == count


def test_a_default_is_checked_where_interfaces_are_made() -> None:
    assert default_row(InputField("x", DType.FLOAT32, (2, 2), default=1.5)).tolist() == [[[1.5, 1.5], [1.5, 1.5]]]
    assert default_row(InputField("x", DType.INT8, (None,), default=[1, 2])).tolist() == [[1, 2]]
    assert default_row(InputField("x", DType.COMPLEX64, (), default=[1, 2])).tolist() == [1 + 2j]
    assert default_row(InputField("x", DType.STRING, (), default="a")).tolist() == ["a"]
    for field, fragment in (
        (InputField("x", DType.INT8, (), default=300), "field 'x': expected a whole number"),
        (InputField("x", DType.STRING, (), default=False), "field 'x': expected a string"),
        (InputField("x", DType.INT8, (None,), default=3), "a whole row of shape [-1]"),
        (InputField("x", DType.INT8, (2**60,), default=3), "a whole row of shape"),
        (InputField("x", DType.INT8, (2,), default=[1]), "expected a row of shape [2], got [1]"),
        (InputField("x", DType.INT8, (), default=[1]), "field 'x'"),
    ):
        with pytest.raises(Exception, match="field 'x'") as caught:
            default_row(field)
        assert fragment in str(caught.value)
