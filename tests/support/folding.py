"""What a cache may do with a row by ``Lookups``, and whether a model can tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlserve.types import Array, Lookups, Vocabulary

Infer = Any
"""Named arrays in, named arrays out."""


def fold(column: Array, lookups: Lookups) -> Array:
    """``column`` (axis 0 counts rows) with the sentinel in place of every value outside the vocabularies."""
    flat = column.reshape(len(column), -1).copy()
    for place in range(flat.shape[1]):
        vocabulary = lookups.columns.get(place, lookups.every)
        if vocabulary is not None:
            flat[:, place] = _known(flat[:, place], vocabulary)
    return flat.reshape(column.shape)


def _known(values: Array, vocabulary: Vocabulary) -> Array:
    known = [value if value in vocabulary.words else vocabulary.sentinel for value in values.tolist()]
    return np.array(known, values.dtype)


def can_tell(infer: Infer, feeds: Mapping[str, Array], lookups: Mapping[str, Lookups]) -> bool:
    """True if the answer to the folded rows differs by one bit from that to ``feeds``, in one batch each."""
    folded = {name: fold(array, lookups[name]) if name in lookups else array for name, array in feeds.items()}
    return _bits(infer(feeds)) != _bits(infer(folded))


def _bits(answer: Mapping[str, Array]) -> list[object]:
    return [
        (name, array.shape, repr(array.tolist()) if array.dtype == object else array.tobytes())
        for name, array in answer.items()
    ]
