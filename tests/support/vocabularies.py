"""Vocabularies made by hand, and by hypothesis."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

from mlserve.types import UNKNOWN_NUMBER, UNKNOWN_WORD, Array, DType, Vocabulary

FOLDED = [DType.STRING, *(dtype for dtype in DType if dtype.is_integer)]
"""The types that have a sentinel."""


def words(*known: str) -> Vocabulary:
    return Vocabulary(known, UNKNOWN_WORD)


def numbers(*known: int) -> Vocabulary:
    return Vocabulary(known, UNKNOWN_NUMBER)


@cache  # hypothesis takes longer to check a new strategy than to draw from it
def values_of(dtype: DType) -> st.SearchStrategy[Any]:
    """Mostly few, so that some are words of a vocabulary; also the sentinel, and what lies at the ends of the type."""
    if dtype is DType.STRING:
        return st.sampled_from(["a", "b", "", UNKNOWN_WORD, "a/b", "%", "\udcff"]) | st.text(max_size=3)
    ends = np.iinfo(dtype.numpy)
    low, high = int(ends.min), int(ends.max)
    return st.sampled_from([0, 1, 2, low, high]) | st.integers(low, high)


@cache
def vocabularies(dtype: DType) -> st.SearchStrategy[Vocabulary]:
    """Of any few words, the sentinel perhaps among them."""
    known = st.lists(values_of(dtype), max_size=4)
    return known.map(lambda found: words(*found) if dtype is DType.STRING else numbers(*found))


def column_of(dtype: DType, values: list[Any], *row: int) -> Array:
    """``values`` as rows of shape ``row``."""
    return np.array(values, dtype.numpy).reshape(-1, *row)
