"""What a person types is what the model is sent, without a thought about quotes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from mlserve.commands import given as module
from mlserve.commands.given import read_given
from mlserve.errors import RemoteError, SetupError


def sent(*words: str) -> Any:
    return orjson.loads(orjson.dumps(dict(read_given(words).values)))


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("x=1", 1),
        ("x=-2.5e3", -2500.0),
        ("x=true", True),
        ("x=null", None),
        ("x=[[1,2],[3,4]]", [[1, 2], [3, 4]]),
        ('x={"b64":"/w=="}', {"b64": "/w=="}),
        ("x=Dream", "Dream"),
        ("x=", ""),
        ("x=a=b", "a=b"),
        ("x=01234", "01234"),
        ("x=NaN", "NaN"),
        ("x=1 2", "1 2"),
        ('x="123"', "123"),
        ('x="@home"', "@home"),
        ("x=\N{SNOWMAN} [", "\N{SNOWMAN} ["),
    ],
)
def test_json_is_json_and_the_rest_is_text(word: str, value: object) -> None:
    assert sent(word) == {"x": value}


def test_numbers_keep_their_characters() -> None:
    """Reading 2^64 as a double would send another number than was typed."""
    words = ["a=18446744073709551616", "b=0.1000000000000000055511151231257827", "c=1.0"]
    assert orjson.dumps(dict(read_given(words).values)) == (
        b'{"a":18446744073709551616,"b":0.1000000000000000055511151231257827,"c":1.0}'
    )


def test_only_json_without_quotes_may_have_been_meant_as_text() -> None:
    given = read_given(["zip=123", "flag=true", 'name="5"', "word=five", "list=[1]"])
    assert dict(given.guesses) == {"zip": "123", "flag": "true", "list": "[1]"}


def test_a_guess_becomes_the_text_that_was_typed() -> None:
    given = read_given(["zip=1.50", "x=2"]).as_text("zip")
    assert (given.values["zip"], dict(given.guesses)) == ("1.50", {"x": "2"})


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("field 'zip': expected a string, got 123", "zip"),
        ("field 'zip', row 3: expected a string, got 123", "zip"),
        ('field "it\'s": expected a string, got 123', "it's"),
        ("field 'zipper': expected a string, got 123", None),
        ("field 'y': expected a string, got 123", None),
        ("the body is empty", None),
    ],
)
def test_a_refusal_names_its_input(text: str, name: str | None) -> None:
    """The words are the server's; ``tests/commands/test_eval.py`` holds them to a real one."""
    assert read_given(["zip=1", "it's=1"]).blamed(RemoteError(text, status=400, code="bad_request")) == name


def test_a_file_is_sent_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(" [1.50,\n 2]\n")
    given = read_given([f"x=@{tmp_path / 'v.json'}"])
    assert orjson.loads(orjson.dumps(dict(given.values))) == {"x": [1.5, 2]}
    assert b"1.50" in orjson.dumps(dict(given.values))
    assert (dict(given.guesses), given.size_bytes) == ({}, 12)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"[1,", "is no JSON"), (b"\xff", "is no JSON"), (b"", "is no JSON"), (b" " * 101, "is longer than 100 bytes")],
)
def test_a_file_that_cannot_be_sent_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, problem: str
) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 100)
    (tmp_path / "v.json").write_bytes(content)
    with pytest.raises(SetupError, match=rf"^x: \S+v.json {problem}"):
        read_given([f"x=@{tmp_path / 'v.json'}"])


@pytest.mark.parametrize(("path", "problem"), [("nothing", "No such file"), (".", "Is a directory"), ("", "directory")])
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SetupError, match=f"^x: cannot read .*{problem}"):
        read_given([f"x=@{path}"])
