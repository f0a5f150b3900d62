"""Would fail if a column's JSON were cut at the wrong places, so that rows got one another's values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.protocols.texts import texts_of
from mlserve.types import Array


def whole(column: Array) -> list[bytes]:
    texts = texts_of(column)
    return [texts.opening + row + texts.closing for row in texts.rows]


def objects(values: list[Any]) -> Array:
    column = np.empty(len(values), object)
    for index, value in enumerate(values):
        column[index] = value
    return column


@pytest.mark.parametrize(
    ("column", "rows"),
    [
        (np.array([1.5, math.nan]), [b"1.5", b"null"]),
        (np.array([True, False]), [b"true", b"false"]),
        (np.array([[1, 2], [3, 4]]), [b"[1,2]", b"[3,4]"]),
        (np.arange(8).reshape(2, 2, 2), [b"[[0,1],[2,3]]", b"[[4,5],[6,7]]"]),
        (np.zeros((2, 0)), [b"[]", b"[]"]),
        (np.zeros((2, 0, 3)), [b"[]", b"[]"]),
        (np.array([1j, 2]), [b"[0.0,1.0]", b"[2.0,0.0]"]),
        (objects(['",\n  "', ""]), [rb'"\",\n  \""', b'""']),
        (objects([{}, {"a": 0.5}]), [b"{}", b'{"a":0.5}']),
        (objects([{"},{": 0.5}, {"a": 0.5}]), [b'{"},{":0.5}', b'{"a":0.5}']),
        (np.array([["a", "b"], ["c", "d"]], object), [b'["a","b"]', b'["c","d"]']),
        (objects([]), []),
    ],
)
def test_each_row_has_its_own_text(column: Array, rows: list[bytes]) -> None:
    assert whole(column) == rows


@given(st.lists(st.text(alphabet='",\n {}[]\\a\u2028é\udcff', max_size=6), min_size=1, max_size=4))
def test_no_text_runs_into_the_next(values: list[str]) -> None:
    """Strings are cut apart where orjson breaks lines, maps where one brace meets the next."""
    assert whole(objects(values)) == [whole(objects([value]))[0] for value in values]
    maps = [{value: 0.5} for value in values]
    assert whole(objects(maps)) == [whole(objects([each]))[0] for each in maps]


def test_what_is_not_finite_is_counted_once() -> None:
    """A complex number with two parts that are not is one."""
    assert texts_of(np.array([math.nan, 1, math.inf])).non_finite == 2
    assert texts_of(np.array([complex(math.nan, math.nan), 1])).non_finite == 1
    assert texts_of(objects([{"a": math.nan}, [math.inf, "null"]])).non_finite == 2
