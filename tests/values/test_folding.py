"""A row would be answered with another one's answer, or never find its own, if these failed."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlserve.types import Array, DType, Lookups
from mlserve.values.folding import folding
from tests.support.vocabularies import FOLDED, column_of, numbers, values_of, vocabularies, words

COUNTRIES = Lookups("", words("de", "fr"))


def fold(lookups: Lookups, column: Array) -> Array:
    change = folding(lookups)
    assert change is not None
    return change(column)


def folded(lookups: Lookups, *values: Any, dtype: DType = DType.STRING) -> list[Any]:
    result: list[Any] = fold(lookups, column_of(dtype, list(values))).tolist()
    return result


def test_what_is_out_of_vocabulary_becomes_the_sentinel() -> None:
    """One row goes another way than many; case, spaces and the empty text make other words."""
    for value in ("us", "DE", " de", "", "\udcff"):
        assert folded(COUNTRIES, value) == ["[UNK]"]
        assert folded(COUNTRIES, "de", value, "fr") == ["de", "[UNK]", "fr"]


def test_no_word_at_all_folds_everything() -> None:
    """A layer that was never adapted."""
    assert folded(Lookups("", words()), "a", "", "[UNK]") == ["[UNK]"] * 3


def test_without_vocabulary_there_is_nothing_to_do() -> None:
    assert folding(Lookups("exact: MatMul reads it")) is None


@pytest.mark.parametrize("values", [["de"], ["[UNK]"], ["de", "[UNK]", "fr"], []])
def test_what_changes_nothing_is_the_very_same_array(values: list[str]) -> None:
    """No copy for the rows that callers mostly ask; the sentinel is folded already."""
    for lookups, shape in ((COUNTRIES, ()), (Lookups("", columns={0: words("de", "fr")}), (1,))):
        column = column_of(DType.STRING, values, *shape)
        assert fold(lookups, column) is column


def expected(lookups: Lookups, row: list[Any]) -> list[Any]:
    """The law, element by element: what some vocabulary of the place knows stays, all else is the sentinel."""

    def one(place: int, value: Any) -> Any:
        known = [it for it in (lookups.every, lookups.columns.get(place)) if it is not None]
        return value if not known or any(value in it.words for it in known) else known[0].sentinel

    return [one(place, value) for place, value in enumerate(row)]


@pytest.mark.parametrize("dtype", FOLDED)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_every_element_is_judged_by_its_vocabulary(dtype: DType, data: st.DataObject) -> None:
    """Of every type to its ends; rows of several elements, some of which are exact, one row and many alike."""
    values, width = data.draw(st.lists(values_of(dtype), max_size=8)), data.draw(st.sampled_from([1, 2, 4]))
    columns = {place: data.draw(vocabularies(dtype)) for place in (0, data.draw(st.sampled_from([1, 2, 3, 9])))}
    count = len(values) // width
    column = column_of(dtype, values[: count * width], width)
    before, rows = column.copy(), column.tolist()
    for lookups in (Lookups("", data.draw(vocabularies(dtype))), Lookups("", None, columns)):
        result = fold(lookups, column)
        assert (result.dtype, result.shape) == (column.dtype, column.shape)
        assert result.tolist() == [expected(lookups, row) for row in rows]
        assert (result is column) == (result.tolist() == column.tolist())
        assert fold(lookups, result) is result
        alone = [fold(lookups, column[index : index + 1])[0].tolist() for index in range(count)]
        assert alone == result.tolist()
    assert column.tolist() == before.tolist()


@pytest.mark.parametrize("dtype", FOLDED)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_two_vocabularies_of_an_element_never_fold_a_word_of_either(dtype: DType, data: st.DataObject) -> None:
    """Folding less only costs a hit; folding more gives a wrong answer."""
    every, own = data.draw(vocabularies(dtype)), data.draw(vocabularies(dtype))
    values = data.draw(st.lists(values_of(dtype), min_size=1, max_size=4))
    result = folded(Lookups("", every, {0: own}), *values, dtype=dtype)
    for value, found in zip(values, result, strict=True):
        assert found == (value if value in every.words | own.words else every.sentinel)


def test_large_integers_stay_exact() -> None:
    """A double between would make neighbours one."""
    known = numbers(2**63 + 1, 2**64 - 1)
    values = [2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1]
    assert folded(Lookups("", known), *values, dtype=DType.UINT64) == [0, 2**63 + 1, 0, 2**64 - 1]


@pytest.mark.parametrize("view", [lambda base: base[::2], lambda base: base.T, lambda base: base[:, ::-1]])
@pytest.mark.parametrize("lookups", [Lookups("", numbers(1, 2)), Lookups("", columns={0: numbers(1), 1: numbers(5)})])
def test_views_are_folded_as_they_look(view: Any, lookups: Lookups) -> None:
    """A column may be a slice of another request's memory, which stays as it is."""
    base = np.arange(16).reshape(4, 4)
    before = base.copy()
    column = view(base)
    assert fold(lookups, column).tolist() == [expected(lookups, row) for row in column.tolist()]
    assert fold(lookups, column[:1]).tolist() == [expected(lookups, row) for row in column[:1].tolist()]
    assert np.array_equal(base, before)


def test_elements_of_deeper_rows_count_as_they_lie() -> None:
    """The place of an element is that in the flattened row."""
    column = np.arange(8).reshape(2, 2, 2)
    assert fold(Lookups("", columns={3: numbers(3)}), column).tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 0]]]


@pytest.mark.parametrize("lookups", [Lookups("", words("a")), Lookups("", columns={0: words("a")})])
@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0), (1, 0)])
def test_no_elements(lookups: Lookups, shape: tuple[int, ...]) -> None:
    """A request of no rows, and rows of no elements."""
    column = np.empty(shape, object)
    assert fold(lookups, column) is column


def test_a_vocabulary_is_not_copied() -> None:
    """A million words are held once, by the model that has them."""
    known = words(*map(str, range(100_000)))
    tracemalloc.start()
    try:
        change = folding(Lookups("", known))
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()
    assert change is not None
