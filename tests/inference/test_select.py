"""Callers would get columns that ``Outputs`` leaves out, or in another order, if these failed."""

from __future__ import annotations

import numpy as np
import pytest

from mlserve.errors import Overloaded
from mlserve.inference.select import selecting
from mlserve.types import Context, DType, Rows, TensorSpec
from tests.support.deployments import as_lists, context, rows
from tests.support.models import signature

SPECS = {name: TensorSpec(name, DType.FLOAT32, (None,)) for name in ("a", "b", "c")}
SIGNATURE = signature(outputs=dict.fromkeys(SPECS, (DType.FLOAT32, (None,))))


async def three(asked: Rows, context: Context) -> Rows:
    return Rows({name: asked.columns["x"] + np.float32(add) for add, name in enumerate(SPECS)}, asked.count)


def test_all_outputs_need_no_wrapper() -> None:
    """A layer that does nothing is not there."""
    assert selecting(three, SIGNATURE, tuple(SPECS.values())) is three


@pytest.mark.parametrize("names", [("b",), ("c", "a")])
async def test_only_what_was_asked_for_goes_on(names: tuple[str, ...]) -> None:
    """In the order of the configuration, so that the cache holds no more than that."""
    answer = await selecting(three, SIGNATURE, [SPECS[name] for name in names])(rows(x=[1, 2]), context())
    assert list(answer.columns) == list(names)
    assert answer.count == 2
    values = {"a": [1, 2], "b": [2, 3], "c": [3, 4]}
    assert as_lists(answer) == {name: values[name] for name in names}


async def test_errors_pass_through() -> None:
    async def full(asked: Rows, context: Context) -> Rows:
        raise Overloaded("full")

    with pytest.raises(Overloaded):
        await selecting(full, SIGNATURE, [SPECS["a"]])(rows(x=[1]), context())
