"""The command ``mlserve``: parses the command line and hands over to one function per command.

Exit codes: 0 good, 1 a problem in what it was given (message on standard error, no traceback), 2 bad usage.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from mlserve import __version__
from mlserve.config.redact import redact_url
from mlserve.errors import ConfigError, MlserveError

COMMANDS: Final = ("serve", "check", "inspect")


def main(argv: Sequence[str] | None = None) -> int:
    """The console script. Answers the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    if arguments and arguments[0] not in COMMANDS and arguments[0] not in ("-h", "--help", "-v", "--version"):
        arguments.insert(0, "serve")
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
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
    return parser


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
