"""Would fail if a misspelt input were not named, or naming it cost more than the request."""

from __future__ import annotations

import pytest

from mlserve.errors import BadRequest
from mlserve.types import DType, InputField, Interface, Serving
from mlserve.values.names import check_names

FACE = Interface(
    (
        InputField("site", DType.STRING, ()),
        InputField("age", DType.INT64, ()),
        InputField("o", DType.BOOL, (), default=True),
    ),
    None,
    Serving.ROWS,
)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["age"], "failed to build request due to missing fields: [site]"),
        ([], "failed to build request due to missing fields: [site age]"),
        (["site", "age", "zzz"], "unknown field: 'zzz', available: [site age o]"),
        (
            ["sites", "age"],
            (
                "failed to build request due to missing fields: [site]; "
                "unknown field: 'sites' (did you mean 'site'?), available: [site age o]"
            ),
        ),
        (["site", "age", *"abcde"], "unknown field: 'a', 'b', 'c' and 2 more, available: [site age o]"),
    ],
)
def test_the_text_names_missing_unknown_nearest_and_available(names: list[str], text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_names(FACE, names)
    assert str(caught.value) == text


def test_inputs_with_a_default_may_be_left_out() -> None:
    check_names(FACE, ["age", "site"])


def test_many_long_names_against_many_inputs_stay_cheap_to_refuse() -> None:
    wide = Interface(tuple(InputField(f"input_{i}", DType.BOOL, ()) for i in range(2000)), None, Serving.ROWS)
    with pytest.raises(BadRequest) as caught:
        check_names(wide, [f"{i}" + "x" * 100_000 for i in range(50)])
    assert "available: [input_0 input_1 " in str(caught.value)
    assert len(str(caught.value)) < 40_000  # all 2000 missing inputs are named, as clients may look for them
