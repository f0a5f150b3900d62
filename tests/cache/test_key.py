"""Keys: equal for rows that the model cannot tell apart, different for all others, and mly's where both are exact."""

from __future__ import annotations

import struct
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mlserve.cache.key import MAX_ELEMENTS, KeyMaker
from mlserve.types import DType, InputField, Lookups, Rows
from mlserve.values.canonical import canonical_rows
from mlserve.values.rounding import round_half_away
from tests.support.deployments import interface
from tests.support.vocabularies import FOLDED, column_of, values_of, vocabularies

NUMBERS = [dtype for dtype in DType if dtype not in (DType.STRING, DType.JSON)]
TEXTS = st.text(st.characters() | st.sampled_from("%/2F5[]:#,\0"), max_size=6)


def keys(fields: list[InputField], **columns: Any) -> list[str]:
    count = len(next(iter(columns.values())))
    return KeyMaker(interface(*fields)).keys(Rows(columns, count))


def key_of(dtype: DType, row: Any, shape: Any = (), **rest: Any) -> str:
    return keys([InputField("x", dtype, shape, **rest)], x=np.asarray(row)[np.newaxis])[0]


def objects(values: list[Any], *shape: int) -> Any:
    column = np.empty(len(values), object)
    column[:] = values
    return column.reshape(shape or (len(values),))


def bits(value: Any) -> bytes:
    """What the model sees of a number; NaNs may stand for one another."""
    array = np.asarray(value)
    with np.errstate(invalid="ignore"):  # a bfloat16 may be a signalling NaN, which the cast tells of
        return b"nan" if array.dtype.kind in "fV" and np.isnan(array.astype(np.float64)) else array.tobytes()


def scalars(dtype: DType) -> st.SearchStrategy[Any]:
    kind = dtype.numpy
    if dtype is DType.BFLOAT16:
        return st.integers(0, 2**16 - 1).map(lambda n: np.uint16(n).view(ml_dtypes.bfloat16))
    return hnp.from_dtype(kind).map(kind.type)


@pytest.mark.parametrize("dtype", [dtype for dtype in NUMBERS if not dtype.is_complex])
@given(data=st.data())
def test_two_numbers_share_a_key_only_if_they_are_one(dtype: DType, data: st.DataObject) -> None:
    """The second would be answered with the first one's answer."""
    one, other = data.draw(scalars(dtype)), data.draw(scalars(dtype))
    assert (key_of(dtype, one) == key_of(dtype, other)) == (bits(one) == bits(other))


@given(st.lists(st.integers(0, 2**32 - 2), min_size=1, max_size=20))
def test_neighbouring_floats_have_keys_of_their_own(patterns: list[int]) -> None:
    """The shortest text must still tell a float32 from the next."""
    for pattern in patterns:
        one, other = (np.frombuffer(struct.pack("<I", pattern + step), np.float32)[0] for step in (0, 1))
        if not np.isnan([one, other]).all():
            assert key_of(DType.FLOAT32, one) != key_of(DType.FLOAT32, other)
        if np.isfinite(one):
            assert np.float32(key_of(DType.FLOAT32, one)).tobytes() == one.tobytes()


@pytest.mark.parametrize(
    ("dtype", "row", "expected"),
    [
        (DType.FLOAT32, np.float32(0.1), "0.1"),
        (DType.FLOAT64, np.float64(0.1), "0.1"),
        (DType.FLOAT64, np.float64(np.float32(0.1)), "0.10000000149011612"),
        (DType.FLOAT32, np.float32(-0.0), "-0.0"),
        (DType.FLOAT32, np.float32("nan"), "nan"),
        (DType.FLOAT32, np.float32("-inf"), "-inf"),
        (DType.INT64, np.int64(-(2**63)), str(-(2**63))),
        (DType.UINT64, np.uint64(2**64 - 1), str(2**64 - 1)),
        (DType.BOOL, np.bool_(True), "true"),
        (DType.BFLOAT16, ml_dtypes.bfloat16(1.5), "1.5"),
        (DType.COMPLEX64, np.complex64(1 - 2j), "(1-2j)"),
    ],
)
def test_texts_of_numbers(dtype: DType, row: Any, expected: str) -> None:
    """What explain shows, and what other processes look for."""
    assert key_of(dtype, row) == expected


@given(
    st.lists(st.sampled_from([0.0, -0.0]), min_size=2, max_size=2),
    st.lists(st.floats(width=32), min_size=2, max_size=2),
)
def test_complex_numbers_differ_in_the_sign_of_a_zero(zeros: list[float], parts: list[float]) -> None:
    """1/z differs, so may the answer."""
    values = [np.array(pair, np.float64).view(np.complex128)[0] for pair in (zeros, parts, [0.0, 0.0], [-0.0, 0.0])]
    texts = [key_of(DType.COMPLEX128, value) for value in values]
    for one, first in zip(values, texts, strict=True):
        for other, second in zip(values, texts, strict=True):
            if not (np.isnan(one) or np.isnan(other)):
                assert (first == second) == (one.tobytes() == other.tobytes())


def test_a_row_has_one_key_whoever_stands_beside_it() -> None:
    """A NaN in the batch must not change the keys of its neighbours: they would miss their own entries."""
    values = np.array([0.1, np.nan, 1e30, np.inf], np.float32)
    field = [InputField("x", DType.FLOAT32, ())]
    assert keys(field, x=values) == [keys(field, x=values[i : i + 1])[0] for i in range(len(values))]
    vectors = np.stack([values, np.full(4, 0.1, np.float32)])
    field = [InputField("x", DType.FLOAT32, (4,))]
    assert keys(field, x=vectors) == [keys(field, x=vectors[i : i + 1])[0] for i in range(2)]


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=2, max_size=4, unique=True))
def test_rows_of_strings_never_run_together(rows: list[tuple[str, str, str]]) -> None:
    """``a/b`` and ``c`` would be ``a`` and ``b/c``."""
    fields = [InputField(name, DType.STRING, ()) for name in "abc"]
    columns = {name: objects([row[i] for row in rows]) for i, name in enumerate("abc")}
    found = keys(fields, **columns)
    assert len(set(found)) == len(rows)
    assert all(key.count("/") == 2 for key in found)


@given(st.lists(st.lists(TEXTS, max_size=3), min_size=2, max_size=2))
def test_vectors_of_strings_never_run_together(rows: list[list[str]]) -> None:
    """Neither their elements nor their lengths."""
    one, other = (key_of(DType.STRING, objects(row), (None,)) for row in rows)
    assert (one == other) == (rows[0] == rows[1])
    assert "/" not in one


SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.INT8, DType.UINT64, DType.BOOL, DType.FLOAT16, DType.COMPLEX64])
@given(data=st.data())
def test_tensors_share_a_key_only_if_shape_and_values_are_one(dtype: DType, data: st.DataObject) -> None:
    """Equal bytes in another shape are another question."""
    few = st.sampled_from(np.array([0, 1, 1, 0], dtype.numpy).tolist())
    one, other = (data.draw(hnp.arrays(dtype.numpy, SHAPES, elements=few)) for _ in range(2))
    same = one.shape == other.shape and one.tobytes() == other.tobytes()
    assert (key_of(dtype, one, None) == key_of(dtype, other, None)) == same


@given(hnp.arrays(np.float32, st.integers(1, 2 * MAX_ELEMENTS)), st.data())
def test_one_changed_element_changes_the_key(row: Any, data: st.DataObject) -> None:
    """Below and above the length from which a digest stands for the values."""
    changed = row.copy()
    place = data.draw(st.integers(0, len(row) - 1))
    changed[place] = data.draw(st.floats(width=32, allow_nan=False))
    same = all(bits(a) == bits(b) for a, b in zip(row, changed, strict=True))
    assert (key_of(DType.FLOAT32, row, (None,)) == key_of(DType.FLOAT32, changed, (None,))) == same


def test_long_rows_have_short_keys() -> None:
    """An embedding as text would cost more than its answer."""
    assert len(key_of(DType.FLOAT32, np.zeros(10_000, np.float32), (None,))) < 50
    assert key_of(DType.FLOAT32, np.array([0.5, 1], np.float32), (2,)) == "[2][0.5,1.0]"
    assert key_of(DType.BFLOAT16, np.array([0.5, 1], ml_dtypes.bfloat16), (2,)) == "[2][0.5,1.0]"


def test_rows_of_unknown_rank_may_be_scalars() -> None:
    """A runtime that does not know the rank takes them too."""
    assert keys([InputField("x", DType.STRING, None)], x=objects(["a/b"])) == ["[]3:a%2Fb"]
    assert key_of(DType.INT64, np.int64(5), None) == "[][5]"


@pytest.mark.parametrize(
    ("digits", "value", "expected"),
    [
        (3, 1.23456, "1.235"),
        (4, 1.00054, "1.0005"),
        (4, 1.20001, "1.2000"),
        (4, -1.00054, "-1.0005"),
        (4, 0.00001, "0.0000"),
        (4, 123456.789, "123456.7891"),
        (1, 0.25, "0.3"),
    ],
)
def test_precision_reads_as_mly_writes_it(digits: int, value: float, expected: str) -> None:
    """mly clients look for these very texts (reference, 7.4)."""
    rounded = round_half_away(np.array([value], np.float32), digits)
    assert keys([InputField("x", DType.FLOAT32, (), precision=digits)], x=rounded) == [expected]


@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.FLOAT32, DType.FLOAT64])
@given(data=st.data(), digits=st.integers(1, 9))
def test_rounded_values_share_a_key_only_if_they_are_one(dtype: DType, data: st.DataObject, digits: int) -> None:
    """The model sees the rounded value, so the text must tell every two of them apart."""
    value = data.draw(scalars(dtype))
    with np.errstate(all="ignore"):
        near = np.nextafter(value, dtype.numpy.type(np.inf))
        pair = [round_half_away(np.array([v]), digits) for v in (value, near)]
    one, other = (keys([InputField("x", dtype, (), precision=digits)], x=rounded)[0] for rounded in pair)
    assert (one == other) == (bits(pair[0][0]) == bits(pair[1][0]))


@pytest.mark.parametrize("dtype", FOLDED)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_rows_share_a_key_exactly_if_they_are_one_to_the_model(dtype: DType, data: st.DataObject) -> None:
    """Scalars and vectors, some elements looked up and some exact: the key of a word is nobody else's."""
    every, own = data.draw(vocabularies(dtype)), data.draw(vocabularies(dtype))
    face = interface(
        InputField("a", dtype, (), lookups=Lookups("", every)),
        InputField("v", dtype, (2,), lookups=Lookups("", columns={1: own})),
        InputField("e", dtype, ()),
    )
    cells = column_of(dtype, data.draw(st.lists(values_of(dtype), min_size=8, max_size=8)), 4)
    asked = Rows({"a": cells[:, 0], "v": cells[:, 1:3], "e": cells[:, 3]}, 2)
    canonical = canonical_rows(asked, face)
    one, other = KeyMaker(face).keys(canonical)
    first, second = zip(*(canonical.columns[name].tolist() for name in "ave"), strict=True)
    assert (one == other) == (first == second)


def test_doubles_too_large_to_round_stand_exactly() -> None:
    """Between 2^52/10^9 and 2^23 doubles are closer than nine decimals, and rounding leaves them as they are."""
    value = 4_600_000.123456789
    near = np.nextafter(value, np.inf)
    pair = round_half_away(np.array([value, near]), 9)
    assert pair[0] != pair[1]
    one, other = keys([InputField("x", DType.FLOAT64, (), precision=9)], x=pair)
    assert one != other


def test_auxiliary_inputs_enter_the_key_only_as_key_fields() -> None:
    """Plain ones leave their segment empty (reference, 7.4: ``b/a/``)."""
    fields = [
        InputField("sa", DType.STRING, ()),
        InputField("aux", DType.STRING, (), auxiliary=True),
        InputField("kf", DType.STRING, (), auxiliary=True, wildcard=True),
    ]
    assert keys(fields, sa=objects(["a"]), aux=objects(["test"]), kf=objects(["k"])) == ["a//k"]
    assert keys(fields[:2], sa=objects(["a"]), aux=objects(["c1"])) == ["a/"]


def test_exact_strings_and_integers_read_as_mlys() -> None:
    """Where both are exact, one text: entries can be shared."""
    fields = [
        InputField("price", DType.FLOAT32, (), precision=2),
        InputField("age", DType.INT64, ()),
        InputField("country", DType.STRING, ()),
        InputField("site", DType.STRING, ()),
    ]
    found = keys(
        fields,
        price=np.array([1.23, 4.5], np.float32),
        age=np.array([30, -41]),
        country=objects(["us", ""]),
        site=objects(["a.com", "é"]),
    )
    assert found == ["1.23/30/us/a.com", "4.50/-41//é"]


def test_no_rows_and_no_inputs() -> None:
    """A model without inputs has one row to ask for; a request without rows has no key."""
    assert keys([InputField("x", DType.INT8, ())], x=np.empty(0, np.int8)) == []
    assert KeyMaker(interface()).keys(Rows({"x": np.empty((0,), np.float32)}, 0)) == []


def test_views_are_read_as_they_look() -> None:
    """A column may be a slice of another request's memory."""
    base = np.arange(12, dtype=np.int32).reshape(6, 2)
    assert keys([InputField("x", DType.INT32, ())], x=base[::2, 1]) == ["1", "5", "9"]
    assert keys([InputField("x", DType.INT32, (3,))], x=base.T[:, ::2]) == ["[3][0,4,8]", "[3][1,5,9]"]


@given(st.data())
def test_inputs_that_are_worked_out_together_stand_in_their_own_order(data: st.DataObject) -> None:
    """Numbers are turned into text in one go; two rows would share a key if any of them came to another's place."""
    count = data.draw(st.integers(1, 3))
    kinds = data.draw(st.lists(st.sampled_from([DType.FLOAT32, DType.INT64, DType.STRING]), min_size=1, max_size=5))
    fields = [InputField(f"x{place}", dtype, ()) for place, dtype in enumerate(kinds)]
    values = {
        DType.FLOAT32: st.floats(width=32).map(np.float32),
        DType.INT64: st.integers(-(2**63), 2**63 - 1),
        DType.STRING: TEXTS,
    }
    drawn = [data.draw(st.lists(values[dtype], min_size=count, max_size=count)) for dtype in kinds]
    columns = {field.name: np.array(one, field.dtype.numpy) for field, one in zip(fields, drawn, strict=True)}
    alone = [keys([field], **{field.name: columns[field.name]}) for field in fields]
    assert keys(fields, **columns) == ["/".join(parts) for parts in zip(*alone, strict=True)]


def test_numbers_of_a_view_into_something_else() -> None:
    """A column of a transposed table is not laid out as its text is read."""
    columns = np.arange(6.0).reshape(3, 2)
    fields = [InputField(name, DType.FLOAT64, ()) for name in "ab"]
    assert keys(fields, a=columns[:, 0], b=columns[:, 1]) == ["0.0/1.0", "2.0/3.0", "4.0/5.0"]
