"""Is what a model's graph says about its lookups true of its runs? Keys stand on that it is.

Values that no vocabulary of an input has go through the model alone, and then the sentinel in their place. Both must
have the same answers, bit for bit: they are about to share a key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, count, islice
from math import prod
from typing import Final

import numpy as np

from mlserve.contracts.backend import LoadedModel
from mlserve.inference.feed import Feed, Misaligned
from mlserve.inference.probe import run
from mlserve.types import Array, DType, InputField, Interface, Lookups, Rows
from mlserve.values import plain_value
from mlserve.values.folding import folding

_STRANGERS: Final = 8
"""Values to try. A model that spreads them over two buckets treats one in two as the sentinel by chance."""


def folding_faults(model: LoadedModel, feed: Feed, one_row: Rows, interface: Interface) -> tuple[str, ...]:
    """The names of the inputs whose folding is refuted. Blocks, for two short runs for each folded input.

    Called at load with one row that the model takes. A value that the model refuses and its sentinel answers refutes
    too; if it refuses both, nothing is found. Raises :class:`~mlserve.inference.feed.Misaligned`.
    """
    return tuple(field.name for field in interface.inputs if _is_refuted(model, feed, one_row, field))


def _is_refuted(model: LoadedModel, feed: Feed, one_row: Rows, field: InputField) -> bool:
    fold = folding(field.lookups) if field.lookups is not None else None
    if field.lookups is None or fold is None:
        return False
    strangers = list(islice(_strangers(field.dtype, field.lookups), _STRANGERS))
    if not strangers:  # the vocabulary has all that the type can say
        return False
    rows = one_row.take([0] * len(strangers))
    column = _filled(rows.columns[field.name], strangers, field.lookups)
    strange, folded = (Rows({**rows.columns, field.name: it}, rows.count) for it in (column, fold(column)))
    return _answers(model, feed, strange) != _answers(model, feed, folded)


def _strangers(dtype: DType, lookups: Lookups) -> Iterator[str | int]:
    vocabularies = [it for it in (lookups.every, *lookups.columns.values()) if it is not None]
    candidates: Iterable[str | int] = (f"unheard-of-{number}" for number in count())
    if dtype is not DType.STRING:
        low, high = int(np.iinfo(dtype.numpy).min), int(np.iinfo(dtype.numpy).max)
        candidates = chain((high, low), range(1, high), range(-1, low, -1))
    return (it for it in candidates if all(it != known.sentinel and it not in known.words for known in vocabularies))


def _filled(column: Array, values: list[str | int], lookups: Lookups) -> Array:
    """One of ``values`` in each row of ``column``, in all the places that are looked up."""
    size = prod(column.shape[1:])
    places = range(size) if lookups.every is not None else [place for place in lookups.columns if place < size]
    flat = column.reshape(len(column), size).copy()
    flat[:, places] = np.array(values, column.dtype)[:, np.newaxis]
    return flat.reshape(column.shape)


def _answers(model: LoadedModel, feed: Feed, rows: Rows) -> list[object] | None:
    """The answers to the last bit; ``None`` if the model refuses these rows."""
    try:
        answer = run(model, feed, rows)
    except Misaligned:
        raise
    except Exception:
        return None
    return [_bits(column) for column in answer.columns.values()]


def _bits(column: Array) -> object:
    # The text of plain values tells floats apart to the last bit, and finds NaN equal to itself.
    plain = repr(plain_value(column)) if column.dtype == object else column.tobytes()
    return column.dtype, column.shape, plain
