"""A row of a large request would be left out, or asked for twice, if this failed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlserve.cache.portions import PORTION, portions


@given(st.integers(0, 3 * PORTION + 1))
def test_portions_are_the_whole_in_order(count: int) -> None:
    """None is empty, none is larger than may be."""
    cut = list(portions(range(count)))
    assert [place for some in cut for place in some] == list(range(count))
    assert all(0 < len(some) <= PORTION for some in cut)
    assert len(cut) == -(-count // PORTION)
