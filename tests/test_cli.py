"""Bad usage is told at once, in words about what was typed, with exit code 2."""

from __future__ import annotations

import argparse

import pytest

from mlserve import cli
from mlserve.client.address import DEFAULT_URL


def usage(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The last line of what is said about them."""
    with pytest.raises(SystemExit) as raised:
        cli.main(arguments)
    assert raised.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("usage: mlserve")
    return said.err.splitlines()[-1]


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> list[argparse.Namespace]:
    """What the commands would have been called with."""
    seen: list[argparse.Namespace] = []
    monkeypatch.setattr(cli, "_run", lambda options: seen.append(options) or 0)
    return seen


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("frobnicate", " (commands: serve, check, inspect, eval, warm)"),
        ("inspekt", "; did you mean 'inspect'?"),
        ("evla", "; did you mean 'eval'?"),
        ("config.yaml", "; to serve that configuration:  mlserve -c config.yaml"),
        ("s3://bucket/a.yml", "; to serve that configuration:  mlserve -c s3://bucket/a.yml"),
    ],
)
def test_an_unknown_command_is_called_one(word: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """ "-c is missing" would send somebody looking for a configuration that has nothing to do with it."""
    assert usage(capsys, word).startswith(f"mlserve: error: {word!r} is no command{hint}")


def test_serve_may_be_left_out(options: list[argparse.Namespace]) -> None:
    assert cli.main(["-c", "c.yaml", "--port", "0"]) == 0
    assert (options[0].command, options[0].config) == ("serve", "c.yaml")


def test_what_no_command_takes_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert usage(capsys, "check", "-c", "c.yaml", "more") == "mlserve: error: unrecognized arguments: more"


def test_values_and_options_come_in_any_order(options: list[argparse.Namespace]) -> None:
    """Nobody remembers which of them a parser wants first."""
    lines = ["eval m a=1 b=2 --pretty", "eval --pretty m a=1 b=2", "eval m --pretty a=1 b=2", "eval m a=1 --pretty b=2"]
    for line in lines:
        assert cli.main(line.split()) == 0
    assert [(one.model, one.values, one.pretty) for one in options] == [("m", ["a=1", "b=2"], True)] * len(lines)


def test_the_server_is_that_of_the_option_the_environment_or_the_example(
    options: list[argparse.Namespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLSERVE_URL", raising=False)
    cli.main(["eval", "m"])
    monkeypatch.setenv("MLSERVE_URL", "http://there:1/")
    cli.main(["eval", "m"])
    cli.main(["eval", "m", "--url", "http://elsewhere:2"])
    assert [one.url for one in options] == [DEFAULT_URL, "http://there:1", "http://elsewhere:2"]


def test_a_broken_environment_matters_to_eval_alone(
    options: list[argparse.Namespace], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLSERVE_URL", "there:1")
    assert cli.main(["check", "-c", "c.yaml"]) == 0
    assert "'there:1' is no URL of a server" in usage(capsys, "eval", "m")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("eval", "required: MODEL"),
        ("eval a=1", "'a=1' is no model: its ID comes first, then name=value"),
        ("eval -", "'-' is no model"),
        ("eval m word", "'word': expected name=value, name=@file.json, or - for rows"),
        ("eval m =1", "'=1': expected name=value"),
        ("eval m a=1 a=2", "a is given twice"),
        ("eval m - -", "- is given twice"),
        ("eval m a=1 --frob b=2", "unrecognized arguments: --frob"),
        ("eval m - --raw", "--raw and --pretty are for one prediction"),
        ("eval m --pretty -", "--raw and --pretty are for one prediction"),
        ("eval m --url ftp://x", "'ftp://x' is no URL of a server; expected http://host:port"),
        ("eval m --url http://u:s3cret@x/?a", "http://***@x/?a"),
        ("eval m --timeout 0", "'0' is not a number of seconds"),
        ("eval m --timeout nan", "'nan' is not a number of seconds"),
        ("eval m --timeout 1e9", "'1e9' is not a number of seconds"),
        ("eval m --batch 0", "'0' is not a whole number from 1 to 10000"),
        ("eval m --concurrency 1.5", "'1.5' is not a whole number"),
        ("eval m a=\udcff", "expected name=value"),
        ("eval \udcff", "is no model"),
    ],
)
def test_bad_usage_of_eval_is_told(arguments: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in usage(capsys, *arguments.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("warm --rows r", "required: -c/--config/--cfg"),
        ("warm -c c", "required: --rows"),
        ("warm -c c --rows r --rate 0", "'0' is not a number of rows per second, from 0.001"),
        ("warm -c c --rows r --rate nan", "'nan' is not a number of rows per second"),
        ("warm -c c --rows r --rate inf", "'inf' is not a number of rows per second"),
        ("warm -c c --rows r --rate fast", "'fast' is not a number of rows per second"),
        ("warm -c c --rows r --batch 0", "'0' is not a whole number from 1 to 10000"),
        ("warm -c c --rows r more", "unrecognized arguments: more"),
    ],
)
def test_bad_usage_of_warm_is_told(arguments: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in usage(capsys, *arguments.split())


def test_warm_takes_what_it_needs(options: list[argparse.Namespace]) -> None:
    """And no more than that has to be typed."""
    assert cli.main(["warm", "-c", "c.yaml", "--rows", "-", "--rate", "2.5"]) == 0
    (one,) = options
    assert (one.config, one.rows, one.model, one.rate, one.batch) == ("c.yaml", "-", None, 2.5, 256)
