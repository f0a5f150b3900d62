"""Rows that somebody tells apart would be made one, if these failed."""

from __future__ import annotations

from typing import Any

import pytest

from mlserve.config.schema import ModelConfig
from mlserve.serving.interface import build_interface
from mlserve.serving.lookups import without_folding
from mlserve.types import DType, InputField, Interface, Lookups, Serving, Shape, Signature
from mlserve.values.canonical import changes
from tests.support.models import signature
from tests.support.vocabularies import numbers, words

COLUMN: Shape = (None, 1)
LOOKED_UP = Lookups("looked up in 'countries' (2 words)", words("de", "fr"))


def built(
    dtype: DType = DType.STRING,
    shape: Shape | None = COLUMN,
    found: Lookups | None = LOOKED_UP,
    serving: Serving = Serving.ROWS,
    **members: Any,
) -> Interface:
    """One input ``s``, of which the model says ``found``."""
    sign: Signature = signature({"s": (dtype, shape)})
    config = ModelConfig.model_validate({"ID": "m", "URL": "m", **members})
    return build_interface(sign, config, serving, {} if found is None else {"s": found}, None)


def field(**made: Any) -> InputField:
    return built(**made).by_name["s"]


def folded(face: Interface) -> list[str]:
    return [name for name, _ in face.derived(changes)]


@pytest.mark.parametrize(
    "made",
    [
        {},
        {"serving": Serving.ONE},
        {"dtype": DType.INT64, "found": Lookups("looked up", numbers(1, 2))},
        {"dtype": DType.UINT8, "found": Lookups("looked up", numbers())},
        {"shape": (None, 3)},
        {"shape": None},
        {"shape": (None, None), "found": Lookups("looked up", columns={1: words("a")})},
        {"shape": (None, None, 3), "found": Lookups("looked up", columns={1: words("a")})},
    ],
)
def test_what_the_model_looks_up_is_folded(made: dict[str, Any]) -> None:
    """In rows of any shape, where its places are sure."""
    face = built(**made)
    assert folded(face) == ["s"]
    assert face.by_name["s"].lookups == made.get("found", LOOKED_UP)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"Inputs": [{"Name": "s", "Wildcard": True}]}, "exact: Wildcard makes the value itself the key"),
        ({"serving": Serving.WHOLE}, "exact: each request is one run, and its key the whole tensor"),
        ({"dtype": DType.FLOAT32}, "exact: nothing stands for an unknown float32"),
        ({"dtype": DType.BOOL}, "exact: nothing stands for an unknown bool"),
        (
            {"shape": (None, 2, None), "found": Lookups("looked up", columns={1: words("a")})},
            "exact: rows of other shapes have other values in the places that are looked up",
        ),
        (
            {"shape": None, "found": Lookups("looked up", columns={1: words("a")})},
            "exact: rows of other shapes have other values in the places that are looked up",
        ),
        ({"found": Lookups("exact: StringSplit reads it")}, "exact: StringSplit reads it"),
    ],
)
def test_what_is_exact_says_why(made: dict[str, Any], reason: str) -> None:
    """``explain`` and ``inspect`` show it."""
    face = built(**made)
    assert folded(face) == []
    assert face.by_name["s"].lookups == Lookups(reason)


def test_rows_false_is_exact() -> None:
    """The setting, by the way that it takes in the loader."""
    face = built(serving=Serving.WHOLE, Rows=False)
    assert folded(face) == []


def test_nothing_is_known_where_the_model_says_nothing() -> None:
    assert field(found=None).lookups is None


def test_auxiliary_inputs_have_no_vocabulary() -> None:
    """The model does not take them, so it cannot know, whatever it says of an input of that name."""
    sign = signature({"x": (DType.FLOAT32, COLUMN)})
    config = ModelConfig.model_validate({"ID": "m", "URL": "m", "KeyFields": ["seen"], "Auxiliary": ["aux"]})
    face = build_interface(sign, config, Serving.ROWS, {"seen": LOOKED_UP, "aux": LOOKED_UP}, None)
    assert [it.lookups for it in face.inputs] == [None, None, None]


def test_a_refuted_input_is_exact_and_the_others_fold_on() -> None:
    """What was derived from the interface before must not live on."""
    sign = signature({"s": (DType.STRING, COLUMN), "t": (DType.STRING, COLUMN)})
    config = ModelConfig.model_validate({"ID": "m", "URL": "m"})
    face = build_interface(sign, config, Serving.ROWS, {"s": LOOKED_UP, "t": LOOKED_UP}, 7)
    assert folded(face) == ["s", "t"]
    exact = without_folding(face, ["s"])
    assert folded(exact) == ["t"]
    assert exact.by_name["s"].lookups == Lookups("exact: the model was seen to tell apart values out of its vocabulary")
    assert (exact.dict_hash, exact.outputs, exact.serving) == (face.dict_hash, face.outputs, face.serving)
    assert repr(exact.inputs) != repr(face.inputs)
