"""Key, model and transformer would speak of different values if these failed."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlserve.types import DType, InputField, Lookups, Rows
from mlserve.values.canonical import canonical_rows, changes
from tests.support.deployments import interface
from tests.support.vocabularies import numbers, words

FACE = interface(
    InputField("price", DType.FLOAT32, (), precision=1),
    InputField("exact", DType.FLOAT32, ()),
    InputField("country", DType.STRING, (), lookups=Lookups("looked up", words("de", "fr"))),
    InputField("told", DType.STRING, (), lookups=Lookups("exact: StringSplit reads it")),
    InputField("codes", DType.INT16, (2,), lookups=Lookups("looked up", columns={1: numbers(5)})),
    InputField("beside", DType.FLOAT32, (2,), auxiliary=True, precision=2),
)


def asked(**changed: Any) -> Rows:
    """Two rows that are canonical, but for what is ``changed``."""
    columns = {
        "price": np.asarray([1.5, np.inf], np.float32),
        "exact": np.asarray([1.26, np.nan], np.float32),
        "country": np.asarray(["de", "[UNK]"], object),
        "told": np.asarray(["x", "y"], object),
        "codes": np.asarray([[7, 5], [8, 0]], np.int16),
        "beside": np.zeros((2, 2), np.float32),
    }
    return Rows(columns | {name: np.asarray(value, columns[name].dtype) for name, value in changed.items()}, 2)


def test_canonical_rows_are_the_very_same() -> None:
    """Nothing is copied for rows that need nothing, which is most of them."""
    rows = asked()
    assert canonical_rows(rows, FACE) is rows


def test_floats_are_rounded_and_strangers_folded_and_the_rest_stays() -> None:
    """Only columns that change are new, and the caller's rows are not touched."""
    rows = asked(price=[1.26, 1.25], country=["us", "fr"], codes=[[7, 6], [8, 5]], beside=[[0.126, 0], [0, 1]])
    before = {name: column.copy() for name, column in rows.columns.items()}
    result = canonical_rows(rows, FACE)
    assert result.count == 2
    assert list(result.columns) == list(rows.columns)
    assert result.columns["price"].tolist() == [np.float32(1.3), np.float32(1.3)]
    assert result.columns["country"].tolist() == ["[UNK]", "fr"]
    assert result.columns["codes"].tolist() == [[7, 0], [8, 5]]
    assert result.columns["codes"].dtype == np.int16
    assert np.array_equal(result.columns["beside"], np.asarray([[0.13, 0], [0, 1]], np.float32))
    assert result.columns["exact"] is rows.columns["exact"]
    assert result.columns["told"] is rows.columns["told"]
    for name, column in before.items():
        assert np.array_equal(rows.columns[name], column, equal_nan=column.dtype != object)
    assert canonical_rows(result, FACE) is result


def test_inputs_that_stay_as_they_are_cost_nothing() -> None:
    """Not even a look."""
    assert [name for name, _ in FACE.derived(changes)] == ["price", "country", "codes", "beside"]
    assert interface().derived(changes) == ()
