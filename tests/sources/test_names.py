"""A name that leaves its folder would let a model file read or overwrite anything on the host."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.errors import SourceError
from mlserve.sources.names import checked_name, is_hidden


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/etc/passwd", "absolute"),
        ("C:/windows", "absolute"),
        ("c:weights", "absolute"),
        ("../weights", "leaves"),
        ("a/../../b", "leaves"),
        ("a/..", "leaves"),
        ("a\\b", "backslash"),
        ("a\0b", "NUL"),
        ("", "empty"),
        (".", "empty"),
        ("a//b", "empty"),
        ("a/", "empty"),
        ("a" * 256, "long"),
        ("é" * 200, "long"),
        ("a/" * 600 + "a", "long"),
    ],
)
def test_refused(name: str, why: str) -> None:
    """Each of these is a way out, or two names for one file."""
    with pytest.raises(SourceError, match=why):
        checked_name(name, "model.onnx")


@pytest.mark.parametrize(
    ("name", "clean"), [("weights.bin", "weights.bin"), ("./a/./b", "a/b"), ("a..b/c", "a..b/c"), (".data", ".data")]
)
def test_accepted(name: str, clean: str) -> None:
    """ONNX files do say ``./weights``."""
    assert checked_name(name, "model.onnx") == clean


@given(st.text(alphabet="ab./\\:\0é", max_size=12))
def test_what_is_accepted_stays_inside(name: str) -> None:
    """The law: joined to a folder, an accepted name is strictly below it."""
    try:
        clean = checked_name(name, "test")
    except SourceError:
        return
    path = PurePosixPath("/root", clean)
    assert path.is_relative_to("/root")
    assert ".." not in path.parts
    assert str(path) == f"/root/{clean}" != "/root/"
    assert checked_name(clean, "test") == clean


def test_hidden_is_any_part() -> None:
    """rsync's temporaries and Kubernetes' ``..data`` must not look like models."""
    assert is_hidden(".model.onnx.Xy")
    assert is_hidden("..data/model")
    assert is_hidden("a/.git/b")
    assert not is_hidden("a/b.c")
