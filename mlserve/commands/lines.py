"""``mlserve eval MODEL -``: rows as JSON lines in, answers as JSON lines out, in the same order, several in flight.

::

    reader thread --lines--> (slots: at most --concurrency) --requests--> queue, bounded --in order--> writer thread

Whoever is slowest holds up those before it, so memory is bounded however long the input. Lines are read when a slot is
free: those that came meanwhile are sent together, and a line that a person types is answered at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, Final, TypeVar

import orjson

from mlserve.commands.ask import Asker
from mlserve.commands.pipes import MAX_LINE_BYTES, Line, LineReader, Writer
from mlserve.commands.report import Report
from mlserve.errors import BadAnswer, ClientError, MlserveError

BATCH_BYTES: Final = 1024 * 1024
"""Of input, in one request: well below a server's ``BufferSize``."""
_AHEAD: Final = 4
"""Batches that may wait, answered, for an earlier one; per slot."""
_OF_A_REQUEST: Final = frozenset(("batch_size", "cache_key"))
"""Names no input can have: a line with one of them is a whole request of its own."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """``batch`` rows at most in a request, ``concurrency`` requests in flight, and whether one failed row is enough."""

    batch: int = 100
    concurrency: int = 4
    fail_fast: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One line that is not blank: ``values``, or the ``problem`` with it."""

    line: Line
    values: dict[str, Any]
    problem: str = ""

    @property
    def stands_alone(self) -> bool:
        return bool(self.problem) or not _OF_A_REQUEST.isdisjoint(self.values)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one row: ``data``, or the ``problem``."""

    line: Line
    data: Any
    problem: str = ""


class RowFailed(MlserveError):
    """A row failed, and that is enough (``--fail-fast``); it has been reported."""


async def eval_lines(
    asker: Asker, reader: LineReader, writer: Writer, report: Report, plan: Plan, threads: ThreadPoolExecutor
) -> None:
    """Until the input ends. ``threads`` has two: they may be busy with ``reader`` and ``writer`` after a cancellation.

    Failed rows are reported, and ``null`` stands in their place. Raises :class:`~mlserve.errors.ClientError` once the
    answers before it are written, :class:`RowFailed`, and :class:`OSError` of the input or output.
    """
    slots = asyncio.Semaphore(plan.concurrency)
    answers: asyncio.Queue[asyncio.Task[list[Result] | ClientError] | None] = asyncio.Queue(plan.concurrency * _AHEAD)
    constant_bytes = asker.given.size_bytes
    most = max(1, min(plan.batch, BATCH_BYTES // max(1, constant_bytes)))

    async def deliver() -> None:
        while (task := await answers.get()) is not None:
            results = await task
            if isinstance(results, ClientError):
                raise results
            await _in_thread(threads, partial(_show, results, writer, report, plan.fail_fast))

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(deliver())
            while True:
                await slots.acquire()
                lines = await _in_thread(threads, partial(reader.take, most, BATCH_BYTES))
                if not lines:
                    break
                task = group.create_task(_ask(asker, lines))
                task.add_done_callback(lambda _: slots.release())
                await answers.put(task)
            await answers.put(None)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None  # the first one; the others are what it led to


async def _ask(asker: Asker, lines: Sequence[Line]) -> list[Result] | ClientError:
    """The error is an answer here, so that it waits its turn behind the answers before it."""
    try:
        return await _results(asker, lines)
    except ClientError as error:
        return error


async def _results(asker: Asker, lines: Sequence[Line]) -> list[Result]:
    taken = asker.given.values.keys()
    rows = [parse(line, taken) for line in lines if line.text is None or line.text.strip()]
    results: list[Result] = []
    for alone, group in groupby(rows, key=lambda row: row.stands_alone):
        together = list(group)
        for part in [[row] for row in together] if alone else [together]:
            if part[0].problem:
                results.append(Result(part[0].line, None, part[0].problem))
                continue
            answered = await asker.rows([row.values for row in part])
            results += [_result(row, answer) for row, answer in zip(part, answered, strict=True)]
    return results


def parse(line: Line, taken: Any) -> Row:
    """``taken`` are the names that the command line gives to all rows."""
    if line.text is None:
        return Row(line, {}, f"longer than {MAX_LINE_BYTES} bytes")
    try:
        values = orjson.loads(line.text)
    except orjson.JSONDecodeError as error:
        return Row(line, {}, _why_no_json(line.text, error))
    if not isinstance(values, dict):
        return Row(line, {}, 'expected a JSON object such as {"x": 1}, one row per line')
    twice = next((name for name in values if name in taken), None)
    if twice is not None:
        return Row(line, {}, f"{twice} stands here and on the command line: leave one out")
    return Row(line, values)


def _why_no_json(text: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        text.decode()
    except UnicodeDecodeError as broken:
        return f"not UTF-8 at byte {broken.start + 1}"
    return f"not JSON: {error.msg} at character {error.pos + 1}"


def _result(row: Row, answer: Any) -> Result:
    return Result(row.line, None, str(answer)) if isinstance(answer, ClientError) else Result(row.line, answer)


def _show(results: Sequence[Result], writer: Writer, report: Report, fail_fast: bool) -> None:
    """One line each, ``null`` for a failed row, so that line n of the output answers row n of the input."""
    failed = next((at for at, result in enumerate(results) if result.problem), None)
    if failed is not None and fail_fast:
        results = results[: failed + 1]
    shown = results[:-1] if failed is not None and fail_fast else results
    try:
        text = b"".join(orjson.dumps(result.data) + b"\n" for result in shown)
    except orjson.JSONEncodeError:
        raise BadAnswer("an answer is nested too deep to be written") from None
    writer.write(text)
    for problem, group in groupby(results, key=lambda result: result.problem):
        if problem:
            rows = [result.line.number for result in group]
            report.failure(rows[0], rows[-1], len(rows), problem)
    report.answered(len(results), sum(result.line.size for result in results))
    if failed is not None and fail_fast:
        raise RowFailed


async def _in_thread(threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, call)
