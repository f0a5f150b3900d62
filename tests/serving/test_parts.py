"""What a version is made of: a part that nobody watches would change answers without a reload."""

from __future__ import annotations

from typing import Any

import pytest

from mlserve.config.schema import ModelConfig
from mlserve.errors import SourceError
from mlserve.serving.parts import PythonTarget, Role, model_target, open_parts, transformer_target


def config(**members: Any) -> ModelConfig:
    return ModelConfig.model_validate({"ID": "m", **members})


@pytest.mark.parametrize(
    ("members", "urls"),
    [
        ({"URL": "m.onnx"}, {Role.ARTIFACT: "/base/m.onnx"}),
        ({"URL": "/abs/m"}, {Role.ARTIFACT: "/abs/m"}),
        ({"URL": "s3://bucket/m"}, {Role.ARTIFACT: "s3://bucket/m"}),
        ({"URL": "python:package.module:Class"}, {}),
        ({"URL": "python:code.py:Class"}, {Role.CODE: "/base/code.py"}),
        ({"URL": "weights", "Backend": "python:package.module:Class"}, {Role.ARTIFACT: "/base/weights"}),
        (
            {"URL": "weights", "Backend": "python:dir/code.py:Class"},
            {Role.ARTIFACT: "/base/weights", Role.CODE: "/base/dir/code.py"},
        ),
        ({"URL": "m.onnx", "Transformer": "module:function"}, {Role.ARTIFACT: "/base/m.onnx"}),
        (
            {"URL": "m.onnx", "Transformer": "s3://bucket/t.py:function"},
            {Role.ARTIFACT: "/base/m.onnx", Role.TRANSFORMER: "s3://bucket/t.py"},
        ),
        (
            {"URL": "python:code.py:Class", "Transformer": "t.py:f"},
            {Role.CODE: "/base/code.py", Role.TRANSFORMER: "/base/t.py"},
        ),
    ],
)
async def test_each_file_that_changes_answers_is_a_part(members: dict[str, Any], urls: dict[Role, str]) -> None:
    """Relative ones lie beside the configuration; installed modules are no files to watch."""
    parts = open_parts(config(**members), "/base", timeout_s=1)
    assert {role: source.url for role, source in parts.items()} == urls
    for source in parts.values():
        await source.close()


async def test_the_ready_file_is_the_artefacts_alone() -> None:
    """Nobody writes one beside a transformer."""
    parts = open_parts(config(URL="m", ReadyFile="_SUCCESS", Transformer="t.py:f"), "/base", timeout_s=1)
    assert {role: source.ready_file for role, source in parts.items()} == {
        Role.ARTIFACT: "_SUCCESS",
        Role.TRANSFORMER: None,
    }
    for source in parts.values():
        await source.close()


def test_a_url_that_cannot_work() -> None:
    """It is a failure like any other: kept as the cause, and told."""
    with pytest.raises(SourceError, match=r"7z://"):
        open_parts(config(URL="7z://inner::outer.7z"), "/base", timeout_s=1)


@pytest.mark.parametrize(
    ("text", "place", "attribute", "is_file"),
    [
        ("python:module:Class", "module", "Class", False),
        ("package.module:function", "package.module", "function", False),
        ("python:dir/file.py:Class", "dir/file.py", "Class", True),
        ("file.py:function", "file.py", "function", True),
        ("https://host:8000/file.py:function", "https://host:8000/file.py", "function", True),
    ],
)
def test_targets(text: str, place: str, attribute: str, is_file: bool) -> None:
    """The last colon parts place and name: URLs hold others."""
    target = PythonTarget.parse(text)
    assert (target, target.is_file) == (PythonTarget(place, attribute), is_file)


def test_which_member_names_the_class() -> None:
    """``URL``, or ``Backend`` beside an artefact."""
    assert model_target(config(URL="m.onnx")) is None
    assert model_target(config(URL="m.onnx", Backend="onnx")) is None
    assert model_target(config(URL="python:a:A")) == PythonTarget("a", "A")
    assert model_target(config(URL="w", Backend="python:b.py:B")) == PythonTarget("b.py", "B")
    assert transformer_target(config(URL="m")) is None
    assert transformer_target(config(URL="m", Transformer="t.py:f")) == PythonTarget("t.py", "f")
