"""Errors of runtimes in a person's words: short, and pointing at the input that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlserve.backends.faults import brief, has_surrogates, load_failure, mismatch
from mlserve.types import DType, Signature, TensorSpec

PAIR = Signature((TensorSpec("a", DType.FLOAT32, (None, 2)), TensorSpec("s", DType.STRING, None)), ())
GOOD: dict[str, Any] = {"a": np.zeros((3, 2), np.float32), "s": np.array([["x"]], object)}


@pytest.mark.parametrize(
    ("changes", "message", "field"),
    [
        ({"a": np.zeros((3, 3), np.float32)}, "input 'a' is float32[3,3], expected float32[-1,2]", "a"),
        ({"a": np.zeros(3, np.float32)}, "input 'a' is float32[3], expected float32[-1,2]", "a"),
        ({"a": np.array([["x", "y"]], object)}, "input 'a' is string[1,2], expected float32[-1,2]", "a"),
        ({"s": np.int8(3)}, "input 's' is int8[], expected string[?]", "s"),
        ({"z": np.int8(3)}, "there is no input 'z'", "z"),
    ],
)
def test_the_first_wrong_input_is_named(changes: dict[str, Any], message: str, field: str) -> None:
    """A caller would be told that inference failed, and not what to change."""
    fault = mismatch(PAIR, GOOD | changes)
    assert fault is not None
    assert (str(fault), fault.field) == (message, field)


def test_right_inputs_are_not_blamed() -> None:
    """The model's own failure would look like the caller's."""
    assert mismatch(PAIR, GOOD) is None
    fault = mismatch(PAIR, {"a": GOOD["a"]})
    assert fault is not None
    assert str(fault) == "input 's' is missing, expected string[?]"


def test_surrogates_are_looked_for_in_strings_only() -> None:
    """Text would be encoded twice, or numbers searched for it."""
    number, text = PAIR.inputs
    assert has_surrogates(text, np.array(["a", "\udcff"], object))
    assert not has_surrogates(text, np.array(["a", "é"], object))
    assert not has_surrogates(number, GOOD["a"])


def test_reasons_are_short_and_keep_our_paths_to_themselves() -> None:
    """A page of C++ and the place of our private copies would end up in logs and on pages."""
    assert brief("first\nsecond") == "first"
    assert brief("") == "no reason given"
    assert len(brief("x" * 1000)) == 300
    failure = load_failure(Path("/private/copy/m.onnx"), "open /private/copy/w.bin failed\nstack")
    assert str(failure) == "m.onnx cannot be loaded: open w.bin failed"
