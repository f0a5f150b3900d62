"""``mlserve eval MODEL name=value …``: one prediction of a running server; with ``-``, one per line of its input."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import orjson
from rich.console import Console

from mlserve.client.answer import Answer
from mlserve.client.http import HttpTransport
from mlserve.client.plain import PlainClient
from mlserve.client.retry import WORTH_ANOTHER_TRY
from mlserve.commands.ask import Asker
from mlserve.commands.given import Given, read_given
from mlserve.commands.lines import Plan, RowFailed, eval_lines
from mlserve.commands.loop import run
from mlserve.commands.pipes import Halt, LineReader, Writer
from mlserve.commands.report import Report
from mlserve.errors import BadAnswer, ClientError, RemoteError, SetupError, TimedOut, Unreachable

STDIN: Final = "-"
INTERRUPTED: Final = 130
"""What shells say of a command that Ctrl-C ended: some answers are missing, so it must not look like success."""


def eval_command(options: argparse.Namespace) -> int:
    """0 if every row has an answer, 1 if some have none, 130 after Ctrl-C.

    Raises :class:`~mlserve.errors.ClientError` and :class:`~mlserve.errors.SetupError`.
    """
    try:
        given = read_given(word for word in options.values if word != STDIN)
        return _rows(options, given) if STDIN in options.values else _one(options, given)
    except ClientError as error:
        raise ClientError(_words(error, options)) from error
    except KeyboardInterrupt:
        return INTERRUPTED


def _one(options: argparse.Namespace, given: Given) -> int:
    async def ask() -> Answer:
        async with _client(options, 1) as client:
            return await Asker(client, options.model, given).one({})

    text = _text(run(ask()), raw=options.raw, pretty=options.pretty)
    try:
        sys.stdout.buffer.write(text + b"\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
    return 0


def _rows(options: argparse.Namespace, given: Given) -> int:
    if sys.stdin is None or sys.stdout is None:
        raise SetupError("standard input or output is closed")
    source, sink = sys.stdin.fileno(), sys.stdout.fileno()
    if os.isatty(source):
        sys.stderr.write("type one JSON object per line; Ctrl-D ends\n")
    console = Console(stderr=True, highlight=False)
    bar = sys.stderr.isatty() and not os.isatty(sink)  # answers on the same terminal show well enough how far it is
    report = Report(console, bar=bar, total_bytes=_size(source))
    plan = Plan(options.batch, options.concurrency, options.fail_fast)

    async def stream(halt: Halt, threads: ThreadPoolExecutor) -> None:
        async with _client(options, plan.concurrency) as client:
            asker = Asker(client, options.model, given)
            await eval_lines(asker, LineReader(source, halt), Writer(sink, halt), report, plan, threads)

    try:
        with report, Halt() as halt, ThreadPoolExecutor(2, "eval") as threads:
            try:
                run(stream(halt, threads))
            finally:
                halt.set()
    except RowFailed:
        return 1
    except BrokenPipeError:
        _forget_stdout()
    except OSError as error:
        raise SetupError(f"standard input or output failed: {error.strerror}") from error
    return 1 if report.failed else 0


def _client(options: argparse.Namespace, connections: int) -> PlainClient:
    transport = HttpTransport(options.url, connections=connections)
    return PlainClient(options.url, timeout_s=options.timeout, transport=transport)


def _text(answer: Answer, *, raw: bool, pretty: bool) -> bytes:
    """The outputs as JSON; ``raw``: the answer as it came."""
    if raw and not pretty:
        return answer.body
    shown = orjson.loads(answer.body) if raw else answer.data
    try:
        return orjson.dumps(shown, option=orjson.OPT_INDENT_2 if pretty else None)
    except orjson.JSONEncodeError:
        raise BadAnswer("the answer is nested too deep to be written; --raw shows it as it came") from None


def _words(error: ClientError, options: argparse.Namespace) -> str:
    """``error``, and what to do about it."""
    if isinstance(error, Unreachable):
        return f"{error}; start a server with  mlserve -c config.yaml  or say with --url where it is"
    if isinstance(error, TimedOut):
        return f"{error}; --timeout waits longer"
    if isinstance(error, RemoteError):
        later = "; --timeout keeps asking for longer" if error.status in WORTH_ANOTHER_TRY else ""
        return f"{options.model}: {error}{later}"
    return str(error)


def _size(source: int) -> int | None:
    """Bytes that are left to read, where that can be known."""
    facts = os.fstat(source)
    return facts.st_size - os.lseek(source, 0, os.SEEK_CUR) if stat.S_ISREG(facts.st_mode) else None


def _forget_stdout() -> None:
    """Whoever read it has enough, such as ``head``: what Python still holds for it must not fail at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
