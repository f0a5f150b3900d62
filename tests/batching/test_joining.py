"""Rows would share a run that cannot, or get another row's answer, if these failed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.batching.joining import joined, kind_of, parted
from mlserve.types import Rows
from tests.support.deployments import rows


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_what_is_joined_is_parted_again(counts: list[int]) -> None:
    """Each caller gets its own rows, however many the others have."""
    values = iter(range(100))
    parts = [rows(x=[next(values) for _ in range(count)]) for count in counts]
    again = list(parted(joined(parts), counts))
    assert [part.count for part in again] == counts
    assert [part.columns["x"].tolist() for part in again] == [part.columns["x"].tolist() for part in parts]


@pytest.mark.parametrize(
    ("column", "same"),
    [
        (np.zeros(5, np.float32), True),
        (np.zeros(1, np.float64), False),
        (np.zeros((1, 1), np.float32), False),
        (np.zeros(1, object), False),
    ],
)
def test_which_rows_share_a_run(column: Any, same: bool) -> None:
    """Those of equal dtypes and trailing shapes, whatever their number."""
    other = Rows({"x": column}, len(column))
    assert (kind_of(rows(x=[1])) == kind_of(other)) is same


def test_trailing_shapes_tell_rows_apart() -> None:
    """Also where only one of the columns has any."""
    kinds = {
        kind_of(Rows({"x": np.zeros(2), "y": np.zeros((2, *shape))}, 2)) for shape in [(), (1,), (2,), (1, 2), (2, 1)]
    }
    assert len(kinds) == 5
