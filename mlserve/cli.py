"""The command ``mlserve``: parses the command line and hands over to one function per command.

Exit codes: 0 good, 1 a problem in what it was given (message on standard error, no traceback), 2 bad usage.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

from mlserve import __version__
from mlserve.client.address import DEFAULT_URL, server_url
from mlserve.config.masking import redact_url
from mlserve.errors import ConfigError, MlserveError

COMMANDS: Final = ("serve", "check", "inspect", "eval", "warm")

_LONGEST_S: Final = 86_400
_SLOWEST: Final = 0.001
"""Rows a second: one every quarter of an hour or so."""
_LARGEST: Final = 10_000
"""Of a server's ``MaxRows``, unless it says otherwise; and more requests in flight than any has use for."""


def main(argv: Sequence[str] | None = None) -> int:
    """The console script. Answers the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    if arguments and arguments[0] not in COMMANDS and arguments[0] not in ("-h", "--help", "-v", "--version"):
        if not arguments[0].startswith("-"):
            parser.error(_no_command(arguments[0]))
        arguments.insert(0, "serve")
    options, rest = parser.parse_known_args(arguments)
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    if options.command == "eval":
        _complete_eval(options, rest)
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return _run(options)
    except ConfigError as error:
        count = len(error.problems)
        _complain(f"{error}\n{count} problem{'s' if count != 1 else ''} in the configuration; nothing was started")
    except MlserveError as error:
        _complain(str(error))
    except KeyboardInterrupt:
        return 0
    return 1


def _run(options: argparse.Namespace) -> int:
    # Each command imports what it needs, so that --version and errors of usage answer at once.
    if options.command == "serve":
        from mlserve.commands.serve import serve_command

        return serve_command(options)
    if options.command == "check":
        from mlserve.commands.check import check_command

        return check_command(options)
    if options.command == "eval":
        from mlserve.commands.eval import eval_command

        return eval_command(options)
    if options.command == "warm":
        from mlserve.commands.warm import warm_command

        return warm_command(options)
    from mlserve.commands.inspect import inspect_command

    return inspect_command(options)


def _complain(text: str) -> None:
    print(f"mlserve: {redact_url(text)}", file=sys.stderr)  # noqa: T201  # the command line's own voice


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mlserve",
        description="Serve TensorFlow, ONNX and Python models from one YAML file.",
        epilog="mlserve -c config.yaml  is short for  mlserve serve -c config.yaml",
    )
    parser.add_argument("-v", "--version", action="version", version=f"mlserve {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")

    serve = commands.add_parser("serve", help="serve the models of a configuration")
    _add_config(serve)
    serve.add_argument("--host", help="listen here instead of Endpoint.Host")
    serve.add_argument("--port", type=_port, help="listen here instead of Endpoint.Port; 0 takes a free port")
    serve.add_argument("--strict", action="store_true", help="exit 1 if any model fails its first load")
    _add_logging(serve, "info")

    check = commands.add_parser("check", help="do all that serve would, short of listening")
    _add_config(check)
    _add_logging(check, "warning")

    inspect = commands.add_parser("inspect", help="show a model and a Models: entry to paste")
    inspect.add_argument("url", metavar="URL", help="any fsspec URL, a path, or python:file.py:Class")
    inspect.add_argument(
        "--backend", help="onnx, tensorflow, or python:file.py:Class; found from the files if left out"
    )
    inspect.add_argument("--signature", default="serving_default", help="which signature of a SavedModel")
    inspect.add_argument("--tags", default="serve", help="tag set of a SavedModel, separated by commas")
    _add_logging(inspect, "warning")

    evaluate = commands.add_parser(
        "eval",
        help="ask a running server for predictions",
        description="Ask a running server for one prediction, or, with -, for one per line of standard input.",
        epilog="example: mlserve eval penguins_keras island=Dream sex=male year=2008 bill_length_mm=40.1",
    )
    evaluate.add_argument("model", metavar="MODEL", type=_model, help="its ID in the server's configuration")
    evaluate.add_argument(
        "values",
        metavar="name=value",
        nargs="*",
        help="JSON or text; name=@file.json reads a file; - reads rows as JSON lines from standard input",
    )
    url = os.environ.get("MLSERVE_URL") or DEFAULT_URL
    evaluate.add_argument("--url", type=_url, default=url, help=f"the server ($MLSERVE_URL, or {DEFAULT_URL})")
    evaluate.add_argument("--timeout", type=_seconds, default=30.0, metavar="S", help="seconds for one answer (30)")
    evaluate.add_argument("--pretty", action="store_true", help="indent the answer")
    evaluate.add_argument("--raw", action="store_true", help="print the whole answer of the server")
    evaluate.add_argument("--batch", type=_count, default=100, metavar="N", help="with -: rows in a request (100)")
    evaluate.add_argument("--concurrency", type=_count, default=4, metavar="N", help="with -: requests in flight (4)")
    evaluate.add_argument("--fail-fast", action="store_true", help="with -: stop at the first row that fails")
    evaluate.set_defaults(parser=evaluate)

    warm = commands.add_parser(
        "warm",
        help="fill a model's cache with the answers to the rows of a file",
        description="Fill the tiers that servers share, or start with, with a model's answers to the rows of a file.",
        epilog="example: mlserve warm -c config.yaml --rows yesterday.jsonl.gz --rate 500",
    )
    _add_config(warm)
    warm.add_argument(
        "--rows", required=True, metavar="FILE", help="JSON lines, or CSV with a header; gzip or not; - reads them"
    )
    warm.add_argument("--model", metavar="ID", help="if more than one model has a cache that outlives this")
    warm.add_argument("--rate", type=_rate, metavar="N", help="rows per second at most; no limit if left out")
    warm.add_argument("--batch", type=_count, default=256, metavar="N", help="rows that go together (256)")
    _add_logging(warm, "warning")
    return parser


def _complete_eval(options: argparse.Namespace, rest: Sequence[str]) -> None:
    """argparse takes no values after options, people write them there; ends with a message if they make no sense."""
    parser: argparse.ArgumentParser = options.parser
    options.values = [*options.values, *rest]
    unknown = [word for word in rest if word.startswith("-") and word != "-"]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    for word in options.values:
        name, equals, _ = word.partition("=")
        if word != "-" and not (name and equals and _is_text(word)):
            parser.error(f"{word!r}: expected name=value, name=@file.json, or - for rows on standard input")
    names = [word.partition("=")[0] for word in options.values]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        parser.error(f"{twice} is given twice")
    if "-" in names and (options.raw or options.pretty):
        parser.error("--raw and --pretty are for one prediction; with - there is one line per row")


def _no_command(word: str) -> str:
    near = get_close_matches(word, COMMANDS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    if word.endswith((".yaml", ".yml", ".json")):
        hint = f"; to serve that configuration:  mlserve -c {word}"
    return f"{word!r} is no command{hint} (commands: {', '.join(COMMANDS)})"


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c", "--config", "--cfg", required=True, metavar="URL", help="the YAML file: a path or any fsspec URL"
    )


def _add_logging(parser: argparse.ArgumentParser, level: str) -> None:
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default=level)


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")


def _model(text: str) -> str:
    if text and "=" not in text and text != "-" and _is_text(text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is no model: its ID comes first, then name=value")


def _url(text: str) -> str:
    try:
        return server_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(redact_url(str(error))) from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if 0 < seconds <= _LONGEST_S:
        return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds (up to {_LONGEST_S})")


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if _SLOWEST <= rate < float("inf"):
        return rate
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows per second, from {_SLOWEST}")


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) <= _LARGEST:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {_LARGEST}")


def _is_text(word: str) -> bool:
    """False for bytes that are not UTF-8, which no JSON can hold."""
    return not any("\ud800" <= letter <= "\udfff" for letter in word)
