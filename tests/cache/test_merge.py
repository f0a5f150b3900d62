"""Rows from several places stand where they were asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.cache.merge import Unjoinable, concatenated, merged
from mlserve.types import Rows
from tests.support.deployments import rows


@given(st.permutations(range(7)), st.lists(st.integers(0, 2), min_size=7, max_size=7))
def test_every_row_comes_to_its_place(order: list[int], part_of: list[int]) -> None:
    """A caller would get its neighbour's answer."""
    parts = []
    for part in range(3):
        places = [place for place in order if part_of[place] == part]
        values = np.array(places, np.float64)
        if places:
            parts.append((Rows({"y": values, "z": np.stack([values, -values], axis=1)}, len(places)), places))
    whole = merged(parts)
    assert whole.columns["y"].tolist() == list(range(7))
    assert whole.columns["z"].tolist() == [[place, -place] for place in range(7)]


def test_one_part_in_order_is_passed_on() -> None:
    """The usual case copies nothing."""
    rows = Rows({"y": np.arange(3)}, 3)
    assert merged([(rows, range(3))]) is rows


def test_strings_of_any_width_stand_together() -> None:
    """Python models answer with arrays as wide as the longest string of the run."""
    one, other = Rows({"y": np.array(["a"])}, 1), Rows({"y": np.array(["bcd"], object)}, 1)
    assert merged([(one, [1]), (other, [0])]).columns["y"].tolist() == ["bcd", "a"]


@pytest.mark.parametrize("column", [np.zeros((1, 2)), np.zeros(1, np.float32)], ids=["shape", "dtype"])
def test_columns_that_do_not_fit_are_refused(column: Any) -> None:
    """numpy would widen one, and the answer's type would depend on what was cached."""
    with pytest.raises(Unjoinable, match="y"):
        merged([(Rows({"y": np.zeros(1)}, 1), [0]), (Rows({"y": column}, 1), [1])])


def test_parts_one_after_another() -> None:
    """Answers that are stored together come in the order of their keys."""
    assert concatenated([rows(y=[1]), rows(y=[2, 3]), rows(y=[4])]).columns["y"].tolist() == [1, 2, 3, 4]
    alone = rows(y=[1])
    assert concatenated([alone]) is alone
    with pytest.raises(Unjoinable, match="other outputs"):
        concatenated([rows(y=[1]), rows(z=[1])])
    with pytest.raises(Unjoinable, match="another type"):
        concatenated([rows(y=[1]), Rows({"y": np.array([1], np.int8)}, 1)])
