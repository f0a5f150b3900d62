"""Would fail if the short ways to an answer's JSON printed other bytes than the careful way, or were never taken."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any
from unittest import mock
from uuid import UUID

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlserve.protocols import answer, texts
from mlserve.protocols.answer import data_json
from mlserve.protocols.short_answer import one_column, one_row
from mlserve.types import DType, Interface, Rows, Serving, TensorSpec

DTYPES = (np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.complex64, np.int64, np.uint8, np.bool_)
NUMBERS = st.sampled_from([0.0, -0.0, 1.0, 1e-19, 1e-18, 1e-30, 9.9e18, 1e19, 1e30, math.nan, math.inf]) | st.floats(
    width=32
)
NAMES = st.sampled_from(["y", 'q"', "a]", "[b", "c,d", "},{", "é", ""])


def objects(*values: Any) -> Any:
    column = np.empty(len(values), object)
    for index, value in enumerate(values):
        column[index] = value
    return column


def outcome(rows: Rows, interface: Interface, *, batch: bool, short: bool) -> object:
    """The bytes and the count, or the error."""
    with mock.patch.multiple(
        answer,
        one_row=one_row if short else lambda rows, outputs: None,
        one_column=one_column if short else lambda rows, outputs: None,
    ):
        try:
            return data_json(rows, interface, batch=batch)
        except TypeError as error:
            return str(error)


@st.composite
def columns(draw: st.DrawFn, count: int) -> Any:
    kind = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = (count, *draw(st.sampled_from([(), (1,), (3,), (2, 2), (0,), (1, 1), (66,)])))
    flat = draw(st.lists(NUMBERS, min_size=min(math.prod(shape), 6), max_size=min(math.prod(shape), 6)))
    values = np.resize(np.array(flat or [0.5], np.float64), shape)
    with np.errstate(all="ignore"):
        column = (values if kind.kind in "fcV" else np.nan_to_num(values) % 200).astype(kind)
    return (
        draw(st.sampled_from([column, np.asfortranarray(column), column[:, ..., ::-1]])) if column.ndim > 1 else column
    )


@settings(max_examples=400, deadline=None)
@given(st.data(), st.sampled_from([Serving.ROWS, Serving.WHOLE]), st.sampled_from([None, (None, None), (None, 1)]))
def test_short_and_careful_ways_print_the_same(data: st.DataObject, serving: Serving, declared: Any) -> None:
    batch = data.draw(st.booleans())
    count = data.draw(st.integers(1, 3)) if batch else 1
    names = data.draw(st.lists(NAMES, unique=True, min_size=1, max_size=2))
    rows = Rows({name: data.draw(columns(count)) for name in names}, count)
    outputs = None if declared is None else tuple([TensorSpec(name, DType.FLOAT32, declared) for name in names])
    interface = Interface((), outputs, serving)
    careful = outcome(rows, interface, batch=batch, short=False)
    assert outcome(rows, interface, batch=batch, short=True) == careful


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_])
@pytest.mark.parametrize("shape", [(1,), (1, 1), (1, 3), (1, 2, 2)])
def test_plain_rows_go_the_short_way(dtype: Any, shape: tuple[int, ...]) -> None:
    """Else this would be a roundabout, and the other tests here would compare the careful way with itself."""
    assert one_row(Rows({"y": np.ones(shape, dtype)}, 1), (("y", True),)) is not None


@pytest.mark.parametrize("column", [np.ones(3, np.float32), np.ones((3, 2)), np.ones((3, 1), np.int8), np.ones(1)])
def test_plain_columns_go_the_short_way(column: Any) -> None:
    assert one_column(Rows({"y": column}, len(column)), (("y", True),)) is not None


def test_a_long_vector_of_one_row_is_left_to_those_who_look_at_all_numbers_at_once() -> None:
    assert one_row(Rows({"y": np.ones((1, 65))}, 1), (("y", True),)) is None


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({"a": 0.5, "b": -2.0, "c": 0.0}, True),
        ({}, True),
        ({"a": math.nan}, False),
        ({"a": math.inf}, False),
        ({"a": 1e19}, False),
        ({"a": -1e-19}, False),
        ({"a": np.float64(0.5)}, False),
        ({"a": 1}, False),
        ({1: 0.5}, False),
        ([0.5], False),
    ],
)
def test_maps_that_need_care_are_told(value: Any, plain: bool) -> None:
    row = one_row(Rows({"y": objects(value)}, 1), (("y", True),))
    assert (row is not None) is plain


class Real(float):
    """Which orjson does not take for a number."""


class Level(IntEnum):
    LOW = 1


class Share(Enum):
    HALF = 0.5


@dataclass
class Money:
    """What orjson would print, and an answer has no form for."""

    amount: float = 1.5

    def __float__(self) -> float:
        return self.amount


ITEMS = [0.5, 0.0, 1, True, None, 10**20, 2**70, 1e-30, 1e19, math.nan, "a", [0.5], {"a": 1e30}, Level.LOW, Share.HALF]
ITEMS += [np.float64(0.5), np.float32(0.1), np.int8(1), Real(0.1), Real(1e30), Money(), UUID(int=1), 1j, b"a"]
KEYS = ["a", "b", "},{", "\udcff", 1, True, np.str_("c"), np.int64(3)]
MAPS = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(ITEMS) | st.floats(0, 1), max_size=2)


@settings(max_examples=400, deadline=None)
@given(st.lists(MAPS, min_size=1, max_size=3), st.sampled_from([(), (0.5,), ("a",)]))
def test_many_maps_print_as_each_does_alone(maps: list[Any], others: tuple[Any, ...]) -> None:
    """Whatever a transformer may put into its maps, and with whatever beside them."""
    column = objects(*maps, *others)
    rows, interface = Rows({"y": column}, len(column)), Interface((), None, Serving.ROWS)
    with mock.patch.object(texts, "_maps", return_value=None):
        careful = outcome(rows, interface, batch=True, short=False)
    assert outcome(rows, interface, batch=True, short=True) == careful
