"""What callers may send: were these rules wrong, mly clients would compute other keys than the server."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mlserve.config.schema import ModelConfig
from mlserve.errors import LoadError
from mlserve.serving.interface import build_interface, serving_mode, settings_without_effect
from mlserve.types import MISSING, DType, InputField, Interface, Serving, Shape, Signature, TensorSpec
from tests.support.models import signature

COLUMN: Shape = (None, 1)
STRINGS = signature({"sa": (DType.STRING, COLUMN), "sl": (DType.STRING, COLUMN)}, {"expand": (DType.INT64, COLUMN)})
FLOAT_AND_STRING = signature(
    {"fl": (DType.FLOAT32, COLUMN), "sl": (DType.STRING, COLUMN)}, {"expand": (DType.FLOAT32, COLUMN)}
)


def config(**members: Any) -> ModelConfig:
    """A model configured by the names of the YAML file."""
    return ModelConfig.model_validate({"ID": "m", "URL": "m", **members})


def interface(sign: Signature, serving: Serving = Serving.ROWS, **members: Any) -> Interface:
    return build_interface(sign, config(**members), serving, {}, None)


def shown(fields: tuple[InputField, ...]) -> list[tuple[object, ...]]:
    """Name, type and flags, as the documents of mly list them."""
    return [
        (field.name, str(field.dtype), *(("aux",) if field.auxiliary else ()), *(("wild",) if field.wildcard else ()))
        + ((field.precision,) if field.precision else ())
        for field in fields
    ]


@pytest.mark.parametrize(
    ("sign", "members", "expected"),
    [
        pytest.param(
            STRINGS,
            {"KeyFields": ["sa", "sl", "aux", "kf"]},
            [("sa", "string"), ("sl", "string"), ("aux", "string", "aux", "wild"), ("kf", "string", "aux", "wild")],
            id="sli",
        ),
        pytest.param(
            STRINGS,
            {"Inputs": [{"Name": "sa"}, {"Name": "sl"}, {"Name": "aux", "Auxiliary": True}]},
            [("sa", "string"), ("sl", "string"), ("aux", "string", "aux")],
            id="slf",
        ),
        pytest.param(
            FLOAT_AND_STRING,
            {"Inputs": [{"Name": "fl", "Precision": 4}]},
            [("fl", "float32", 4), ("sl", "string")],
            id="fli",
        ),
        pytest.param(FLOAT_AND_STRING, {"UseDict": False}, [("fl", "float32"), ("sl", "string")], id="flinc"),
    ],
)
def test_the_documents_of_the_ancestor(sign: Signature, members: dict[str, Any], expected: object) -> None:
    """These four are what an mly server answers for its own example models (reference, 20.1)."""
    assert shown(interface(sign, **members).inputs) == expected


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, [("sa", "string"), ("sl", "string")]),
        ({"KeyFields": ["sl"]}, [("sl", "string"), ("sa", "string")]),
        (
            {"Auxiliary": ["b", "a"]},
            [("b", "string", "aux"), ("a", "string", "aux"), ("sa", "string"), ("sl", "string")],
        ),
        (
            {"KeyFields": ["k", "sl"], "Auxiliary": ["x", "k"]},
            [("k", "string", "aux", "wild"), ("sl", "string"), ("x", "string", "aux"), ("sa", "string")],
        ),
        (
            {"Inputs": [{"Name": "sl"}, {"Name": "k"}, {"Name": "a"}], "KeyFields": ["k", "sa", "sl"]},
            [("sl", "string"), ("k", "string", "aux", "wild"), ("a", "string", "aux"), ("sa", "string")],
        ),
        (
            {"Inputs": [{"Name": "a", "Wildcard": True}, {"Name": "sa", "Wildcard": True}]},
            [("a", "string", "aux"), ("sa", "string", "wild"), ("sl", "string")],
        ),
        ({"Inputs": [{"Name": "a", "Auxiliary": True}], "KeyFields": ["z"]}, [("a", "string", "aux")]),
    ],
)
def test_order_and_flags(members: dict[str, Any], expected: list[tuple[object, ...]]) -> None:
    """Configured inputs in their order, then the model's others by name; KeyFields makes wildcards of auxiliaries."""
    names = {entry[0] for entry in expected}
    rest = [(name, "string") for name in ("sa", "sl") if name not in names]
    assert shown(interface(STRINGS, **members).inputs) == [*expected, *rest]


def test_the_models_own_order_does_not_matter() -> None:
    """A retrained model lists its inputs in another order; keys must not change with it."""
    turned = Signature(STRINGS.inputs[::-1], STRINGS.outputs)
    assert interface(turned).inputs == interface(STRINGS).inputs


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        (None, "string"),
        ("float", "float32"),
        ("Float", "float32"),
        ("int", "int64"),
        ("bool", "bool"),
        ("int8", "int8"),
    ],
)
def test_types_of_auxiliary_inputs(text: str | None, dtype: str) -> None:
    """mly's names for types, and ours; text if nothing is said."""
    (field, *_) = interface(STRINGS, Inputs=[{"Name": "aux", "DataType": text}]).inputs
    assert (field.dtype, field.shape, field.auxiliary) == (dtype, (), True)


def test_an_auxiliary_float_may_be_rounded_and_have_a_default() -> None:
    """Both are promised for any input."""
    entry = {"Name": "price", "DataType": "float", "Precision": 2, "Default": 1.5}
    (field, *_) = interface(STRINGS, Inputs=[entry]).inputs
    assert (field.precision, field.default) == (2, 1.5)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (
            {"Inputs": [{"Name": "sa", "Precision": 2}]},
            "input 'sa' has Precision, which is for float inputs; .* string",
        ),
        ({"Inputs": [{"Name": "a", "Precision": 2}]}, "input 'a' has Precision"),
        ({"Inputs": [{"Name": "a", "DataType": "int", "Precision": 2}]}, "it is int64"),
        ({"Inputs": [{"Name": "fl", "Default": "x"}]}, "Default does not fit: .*'fl'.*expected a number"),
        ({"Inputs": [{"Name": "fl", "Default": [1.0]}]}, "Default does not fit"),
        ({"Inputs": [{"Name": "fl", "Default": True}]}, "Default does not fit"),
        ({"Inputs": [{"Name": "a", "DataType": "int8", "Default": 300}]}, "Default does not fit: .*'a'"),
        ({"Inputs": [{"Name": "sa", "Auxiliary": True}]}, r"'sa' is Auxiliary .* but the model takes it \(sa: string"),
        ({"Auxiliary": ["fl"]}, r"'fl' is Auxiliary .* but the model takes it"),
        ({"Outputs": [{"Name": "expnad"}]}, r"Outputs names 'expnad'; .*: expand \(did you mean 'expand'\?\)"),
    ],
)
def test_contradictions_are_refused(members: dict[str, Any], words: str) -> None:
    """A configuration that the model does not bear out would answer 400 to every caller, or wrongly."""
    sign = signature({"fl": (DType.FLOAT32, COLUMN), "sa": (DType.STRING, COLUMN)}, {"expand": (DType.FLOAT32, COLUMN)})
    with pytest.raises(LoadError, match=words):
        interface(sign, **members)


@pytest.mark.parametrize("default", [float("nan"), 0, 1e-3])
def test_defaults_that_fit(default: float) -> None:
    """NaN is how a missing number is written."""
    sign = signature({"x": (DType.FLOAT32, (None,))})
    (field,) = interface(sign, Inputs=[{"Name": "x", "Default": default}]).inputs
    assert repr(field.default) == repr(default)
    assert interface(sign).inputs[0].default is MISSING


def test_a_default_must_fit_the_way_of_serving() -> None:
    """One row's value is no whole request: a model that falls back must not answer with half a tensor."""
    sign = signature({"x": (DType.FLOAT32, (None, 2))})
    members = {"Inputs": [{"Name": "x", "Default": [1.0, 2.0]}]}
    assert interface(sign, **members).inputs[0].has_default
    with pytest.raises(LoadError, match="Default does not fit"):
        interface(sign, Serving.WHOLE, **members)


def test_outputs() -> None:
    """All in the signature's order, or those asked for; a transformer decides by itself."""
    sign = signature(outputs=dict.fromkeys(("b", "a", "c"), (DType.FLOAT32, (None,))))

    def names(**members: Any) -> list[str] | None:
        outputs = interface(sign, **members).outputs
        return None if outputs is None else [spec.name for spec in outputs]

    assert names() == ["b", "a", "c"]
    assert names(Outputs=[{"Name": "c"}, {"Name": "b"}]) == ["b", "c"]
    assert names(Transformer="t.py:f") is None


FREE, ONE, EIGHT, SCALAR, UNKNOWN = (None, 3), (1, 3), (8, 3), (), None


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([FREE], Serving.ROWS),
        ([(None,), (None, 1), (None, None)], Serving.ROWS),
        ([ONE], Serving.ONE),
        ([(1,), (1, None)], Serving.ONE),
        ([ONE, FREE], Serving.ONE),
        ([EIGHT], Serving.WHOLE),
        ([FREE, EIGHT], Serving.WHOLE),
        ([FREE, SCALAR], Serving.WHOLE),
        ([ONE, SCALAR], Serving.WHOLE),
        ([UNKNOWN], Serving.WHOLE),
        ([FREE, UNKNOWN], Serving.WHOLE),
        ([(0, 3)], Serving.WHOLE),
        ([], Serving.WHOLE),
    ],
)
def test_how_a_model_is_served(shapes: list[Shape | None], expected: Serving) -> None:
    """By rows what is not made of rows, and batches mix requests; whole what is, and nothing is cached."""
    specs = tuple(TensorSpec(f"i{at}", DType.FLOAT32, shape) for at, shape in enumerate(shapes))
    sign = Signature(specs, ())
    assert serving_mode(sign, config()) is expected
    assert serving_mode(sign, config(Rows=False)) is Serving.WHOLE


@pytest.mark.parametrize(
    ("shape", "serving", "row"),
    [
        ((None,), Serving.ROWS, ()),
        ((None, 1), Serving.ROWS, ()),
        ((None, 3), Serving.ROWS, (3,)),
        ((None, None), Serving.ROWS, (None,)),
        ((None, 1, 1), Serving.ROWS, (1, 1)),
        ((1,), Serving.ONE, ()),
        ((1, 1), Serving.ONE, ()),
        ((1, 28, 28), Serving.ONE, (28, 28)),
        ((None, 1), Serving.WHOLE, (None, 1)),
        ((), Serving.WHOLE, ()),
        (None, Serving.WHOLE, None),
    ],
)
def test_the_shape_of_a_row(shape: Shape | None, serving: Serving, row: Shape | None) -> None:
    """Callers nest lists as deep as this says."""
    assert interface(signature({"x": (DType.FLOAT32, shape)}), serving).inputs[0].shape == row


@pytest.mark.parametrize(
    ("members", "lines"),
    [
        ({}, []),
        ({"KeyFields": ["k"], "Auxiliary": ["a"]}, []),
        ({"Inputs": [{"Name": "sa", "DataType": "string"}, {"Name": "k"}], "KeyFields": ["k", "sl"]}, []),
        ({"Inputs": [{"Name": "sa"}], "KeyFields": ["kk"]}, ["KeyFields names 'kk'"]),
        ({"Inputs": [{"Name": "sa"}], "Auxiliary": ["a"]}, ["Auxiliary names 'a'"]),
        ({"Inputs": [{"Name": "sa", "DataType": "int"}]}, ["DataType int of input 'sa' has no effect: .* string"]),
        ({"Outputs": [{"Name": "expand"}], "Transformer": "t:f"}, ["Outputs has no effect"]),
    ],
)
def test_settings_without_effect_are_told(members: dict[str, Any], lines: list[str]) -> None:
    """Silence would leave an operator to wonder why a setting does nothing."""
    found = list(settings_without_effect(STRINGS, config(**members)))
    assert len(found) == len(lines)
    for line, words in zip(found, lines, strict=True):
        assert re.search(words, line), line


def test_an_input_that_looks_like_a_slip_is_told() -> None:
    """A misspelt name would quietly become an input that callers must send and nothing reads."""
    (line,) = settings_without_effect(
        Signature((TensorSpec("image", DType.FLOAT32, (None, 8)),), ()), config(inputs=({"name": "imag"},))
    )
    assert "'imag' is not one of the model's" in line
    assert "did you mean 'image'?" in line
    assert list(settings_without_effect(STRINGS, config(inputs=({"name": "aux"},)))) == []
