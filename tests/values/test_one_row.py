"""Would fail if the short way to a row took a value that the careful way refuses, or made another column of it."""

from __future__ import annotations

import math
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlserve.errors import RequestError
from mlserve.types import DType, InputField, Interface, Serving, Shape
from mlserve.values import rows, rows_from_values
from mlserve.values.one_row import one_row

INPUTS = [dtype for dtype in DType if dtype is not DType.JSON]
EDGES = [0, -0.0, 1.5, 25.0, 2**24 + 1, 2**53 + 1, 2**63 - 1, -(2**63), 2**64, 1e-320, 65504, 65520, 1e300, math.nan]

SCALARS = (
    st.sampled_from([None, True, False, "a", "\udcff", {"b64": "/w=="}, {"b64": 1}, -math.inf, *EDGES])
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=6)


def default_of(dtype: DType, there: bool) -> dict[str, Any]:
    """What to make an input with."""
    default = {DType.STRING: "d", DType.BOOL: True}.get(dtype, [1, 0] if dtype.is_complex else 1)
    return {"default": default} if there else {}


def outcome(interface: Interface, values: dict[str, Any], *, short: bool) -> object:
    """Columns as bytes with their dtypes, or the error; ``short`` allows the short way."""
    try:
        with mock.patch.object(rows, "one_row", one_row if short else lambda interface, values: None):
            found, batch = rows_from_values(interface, values, None, 100)
    except RequestError as error:
        return type(error), str(error), getattr(error, "field", None)
    columns = [
        (name, column.dtype, column.shape, column.tolist() if column.dtype == object else column.tobytes())
        for name, column in found.columns.items()
    ]
    return columns, found.count, batch


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(INPUTS),
    st.sampled_from([(), (), (2,), (None,), (0,), (None, 1), None]),
    st.sampled_from([Serving.ROWS, Serving.WHOLE]),
    VALUES,
    st.booleans(),
)
def test_both_ways_say_the_same(
    dtype: DType, shape: Shape | None, serving: Serving, value: Any, with_default: bool
) -> None:
    field = InputField("v", dtype, shape, **default_of(dtype, with_default))
    interface = Interface((field, InputField("k", DType.INT64, ())), None, serving)
    for values in ({"v": value, "k": 1}, {"v": value, "k": [1, 2]}, {"k": 1}, {"v": value, "k": 1, "w": 1}):
        assert outcome(interface, values, short=True) == outcome(interface, values, short=False)


LEAVES = {
    DType.STRING: st.sampled_from(["a", "\udcff", {"b64": "/w=="}, {"b64": 1}]),
    DType.BOOL: st.booleans(),
}


@settings(max_examples=600, deadline=None)
@given(st.data(), st.sampled_from(INPUTS), st.sampled_from([(2,), (None,), (0,)]), st.booleans())
def test_both_ways_say_the_same_of_vectors(data: st.DataObject, dtype: DType, shape: Shape, with_default: bool) -> None:
    """Of which the test above draws few that are right."""
    plain = LEAVES.get(dtype, st.sampled_from(EDGES) | st.integers(0, 9) | st.floats())
    value = data.draw(st.lists(plain | plain | SCALARS, max_size=3) | st.lists(plain, min_size=2, max_size=2))
    field = InputField("v", dtype, shape, **default_of(dtype, with_default))
    interface = Interface((field,), None, Serving.ROWS)
    assert outcome(interface, {"v": value}, short=True) == outcome(interface, {"v": value}, short=False)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([dtype for dtype in INPUTS if dtype.is_float]), st.floats() | st.integers())
def test_numbers_round_as_in_a_batch(dtype: DType, value: float) -> None:
    interface = Interface((InputField("v", dtype, ()),), None, Serving.ROWS)
    assert outcome(interface, {"v": value}, short=True) == outcome(interface, {"v": value}, short=False)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [(DType.STRING, "a"), (DType.BOOL, True), (DType.INT32, 7), (DType.FLOAT32, 1.5), (DType.FLOAT16, 1)],
)
def test_plain_values_go_the_short_way(dtype: DType, value: Any) -> None:
    """Else this would be a roundabout, and the other tests here would compare the careful way with itself."""
    found = one_row(Interface((InputField("v", dtype, ()),), None, Serving.ROWS), {"v": value})
    assert found is not None
    assert found.columns["v"].tolist() == [value]


def test_a_default_is_a_new_column_for_every_request() -> None:
    """Models and transformers that write into their inputs would else change what later callers get."""
    interface = Interface((InputField("v", DType.FLOAT32, (2,), default=0.5),), None, Serving.ROWS)
    first, second = one_row(interface, {}), one_row(interface, {"v": None})
    assert first is not None
    assert second is not None
    first.columns["v"][:] = 9
    assert second.columns["v"].tolist() == [[0.5, 0.5]]
    assert np.shares_memory(first.columns["v"], second.columns["v"]) is False
