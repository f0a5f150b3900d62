"""A new version would be warmed with rows that nobody asked for, if these failed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlserve.cache.key import KeyMaker
from mlserve.cache.unkey import rows_from_keys
from mlserve.types import Array, DType, InputField, Interface, Lookups, Rows
from mlserve.values.canonical import canonical_rows
from tests.support.deployments import interface
from tests.support.vocabularies import FOLDED, vocabularies
from tests.support.vocabularies import values_of as few_of

SCALARS = [dtype for dtype in DType if dtype is not DType.JSON]


def values_of(dtype: DType) -> st.SearchStrategy[Any]:
    if dtype is DType.STRING:
        text = st.text(st.characters(codec="utf-8") | st.sampled_from("/%25F\udc80\udcff"))
        return text | st.sampled_from(["", "/", "%", "%2F", "%252F", "a/b%", "NaN", "\x00"])
    if dtype is DType.BOOL:
        return st.booleans()
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        return st.integers(int(info.min), int(info.max)) | st.sampled_from([int(info.min), int(info.max)])
    if dtype.is_complex:
        return st.complex_numbers(width=64 if dtype is DType.COMPLEX64 else 128)
    width: Any = {DType.FLOAT16: 16, DType.BFLOAT16: 16, DType.FLOAT32: 32, DType.FLOAT64: 64}[dtype]
    return st.floats(width=width)


def column_of(dtype: DType, values: list[Any]) -> Array:
    if dtype is DType.STRING:
        column = np.empty(len(values), object)
        column[:] = values
        return column
    return np.array(values, dtype.numpy)


def same(one: Array, other: Array) -> bool:
    """Bit for bit, but for the many forms of NaN."""
    if one.dtype != other.dtype or one.dtype == object:
        return one.dtype == other.dtype and one.tolist() == other.tolist()
    if one.dtype.kind in "biu":
        return one.tobytes() == other.tobytes()
    pairs = zip(one.astype(np.complex128).tolist(), other.astype(np.complex128).tolist(), strict=True)
    return all(str(left) == str(right) for left, right in pairs)


@pytest.mark.parametrize("dtype", SCALARS)
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_rows_come_back_from_their_keys(dtype: DType, data: st.DataObject) -> None:
    """rows -> keys -> rows -> keys, of every type, with another input beside it."""
    face = interface(InputField("a", dtype, ()), InputField("b", DType.STRING, ()))
    values = data.draw(st.lists(values_of(dtype), min_size=1, max_size=5))
    words = data.draw(st.lists(values_of(DType.STRING), min_size=len(values), max_size=len(values)))
    asked = Rows({"a": column_of(dtype, values), "b": column_of(DType.STRING, words)}, len(values))
    maker = KeyMaker(face)
    keys = maker.keys(asked)
    again = rows_from_keys(face, keys)
    assert again is not None
    assert again.count == asked.count
    assert maker.keys(again) == keys
    assert same(asked.columns["a"], again.columns["a"])
    assert same(asked.columns["b"], again.columns["b"])


@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.FLOAT32, DType.FLOAT64])
@settings(deadline=None, max_examples=50)
@given(data=st.data(), digits=st.integers(1, 9))
def test_rounded_rows_come_back_as_the_model_saw_them(dtype: DType, data: st.DataObject, digits: int) -> None:
    """And rounding them once more, as the new version does, changes nothing."""
    face = interface(InputField("x", dtype, (), precision=digits))
    width: Any = {DType.FLOAT16: 16, DType.FLOAT32: 32, DType.FLOAT64: 64}[dtype]
    values = data.draw(st.lists(st.floats(width=width), min_size=1, max_size=5))
    asked = canonical_rows(Rows({"x": np.array(values, dtype.numpy)}, len(values)), face)
    keys = KeyMaker(face).keys(asked)
    again = rows_from_keys(face, keys)
    assert again is not None
    assert same(asked.columns["x"], again.columns["x"])
    assert KeyMaker(face).keys(canonical_rows(again, face)) == keys


@pytest.mark.parametrize("dtype", FOLDED)
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_folded_rows_come_back_as_the_model_saw_them(dtype: DType, data: st.DataObject) -> None:
    """The sentinel for all that was folded: folding once more changes nothing, so the key leads to itself."""
    face = interface(InputField("a", dtype, (), lookups=Lookups("", data.draw(vocabularies(dtype)))))
    values = data.draw(st.lists(few_of(dtype), min_size=1, max_size=5))
    asked = canonical_rows(Rows({"a": column_of(dtype, values)}, len(values)), face)
    keys = KeyMaker(face).keys(asked)
    again = rows_from_keys(face, keys)
    assert again is not None
    assert same(asked.columns["a"], again.columns["a"])
    assert canonical_rows(again, face) is again
    assert KeyMaker(face).keys(again) == keys


def test_large_and_small_integers_beside_each_other_stay_exact() -> None:
    """numpy makes doubles of a list of both unless it is told."""
    face = interface(InputField("x", DType.UINT64, ()))
    again = rows_from_keys(face, ["9223372036854775809", "1"])
    assert again is not None
    assert again.columns["x"].tolist() == [2**63 + 1, 1]


def test_auxiliary_inputs_come_back_if_they_are_in_the_key() -> None:
    """Others are blank: no answer may depend on them."""
    face = interface(
        InputField("x", DType.FLOAT32, ()),
        InputField("seen", DType.STRING, (), auxiliary=True, wildcard=True),
        InputField("number", DType.INT64, (), auxiliary=True),
        InputField("word", DType.STRING, (), auxiliary=True),
        InputField("image", DType.FLOAT32, (2, None), auxiliary=True),
    )
    again = rows_from_keys(face, ["1.5/a%2Fb///", "2.5/c///"])
    assert again is not None
    assert {name: column.tolist() for name, column in again.columns.items()} == {
        "x": [1.5, 2.5],
        "seen": ["a/b", "c"],
        "number": [0, 0],
        "word": ["", ""],
        "image": [[[0.0], [0.0]]] * 2,
    }


@pytest.mark.parametrize(
    ("face", "keys"),
    [
        (interface(InputField("x", DType.FLOAT32, (3,))), ["[3]1.0,2.0,3.0"]),
        (interface(InputField("x", DType.FLOAT32, None)), ["[]1.0"]),
        (interface(), []),
        (Interface((), (), interface().serving), ["", ""]),
    ],
)
def test_keys_that_do_not_tell_make_no_rows(face: Interface, keys: list[str]) -> None:
    """A digest cannot be undone; the new version then starts as it is."""
    assert rows_from_keys(face, keys) is None
