"""Whatever form is convenient to give values in, a server reads the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from mlserve.client.given import given


@pytest.mark.parametrize(
    ("values", "inputs", "body"),
    [
        (None, {"x": 1, "s": "a"}, {"x": 1, "s": "a"}),
        ({"x": [1, 2]}, {"s": "a"}, {"x": [1, 2], "s": "a"}),
        ({"x": (1, 2)}, {}, {"x": [1, 2]}),
        ({"x": np.array([1.5, 2.5], np.float32)}, {}, {"x": [1.5, 2.5]}),
        ({"x": [np.float32(0.5), np.int64(2)]}, {}, {"x": [0.5, 2]}),
        ({"x": np.array([b"\xff", "a"], object)}, {}, {"x": [{"b64": "/w=="}, "a"]}),
        ({"x": np.array([1 + 2j])}, {}, {"x": [[1.0, 2.0]]}),
        ({"x": 1 + 2j}, {}, {"x": [1.0, 2.0]}),
        ({"x": "\udcff"}, {}, {"x": {"b64": "/w=="}}),
        ({"x": ["a", "\udcff"]}, {}, {"x": ["a", {"b64": "/w=="}]}),
        ([{"x": 1}, {"x": 2, "y": 3}], {"s": "a"}, {"batch_size": 2, "x": [1, 2], "y": [None, 3], "s": ["a", "a"]}),
        ([{"x": 1}], {}, {"batch_size": 1, "x": [1]}),
        ([{"x": [1, 2]}], {"v": [0]}, {"batch_size": 1, "x": [[1, 2]], "v": [[0]]}),
    ],
)
def test_every_form_is_one_request(values: Any, inputs: dict[str, Any], body: object) -> None:
    assert orjson.loads(given(values, inputs).body()) == body


@pytest.mark.parametrize(
    ("values", "inputs", "error", "text"),
    [
        ([], {}, ValueError, "at least one row"),
        ([1], {}, TypeError, "one per row"),
        ("x=1", {}, TypeError, "one per row"),
        ({"x": 1}, {"x": 2}, TypeError, "'x' is given twice"),
    ],
)
def test_what_is_no_rows_is_told(values: Any, inputs: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        given(values, inputs)


def test_a_value_without_a_form_names_its_input() -> None:
    with pytest.raises(TypeError, match=r"^'x': JSON has no form for object"):
        given({"y": 1, "x": [object()]}, {}).body()


def test_what_was_given_is_left_alone() -> None:
    """Callers use their lists again."""
    values = {"x": [np.float32(1)]}
    given(values, {})
    assert type(values["x"][0]) is np.float32
