"""Answers come in the order of the lines, many requests at once, in bounded memory, whoever fails, stalls or leaves."""

from __future__ import annotations

import asyncio
import io
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from rich.console import Console

from mlserve.client.transport import HttpAnswer
from mlserve.commands import lines as module
from mlserve.commands.ask import Asker
from mlserve.commands.given import read_given
from mlserve.commands.lines import Plan, RowFailed, eval_lines, parse
from mlserve.commands.pipes import Halt, Line, LineReader, Writer
from mlserve.commands.report import Report
from mlserve.errors import BadAnswer, ClientError, RemoteError, TimedOut
from tests.support.model_transport import ModelTransport, Refusal, client_of, doubling

PATIENCE_S = 10.0


@dataclass
class Desk:
    """Where the lines come from and go to. ``said`` is what a person saw."""

    halt: Halt
    threads: ThreadPoolExecutor
    source: int
    sink: int
    to_source: int
    from_sink: int
    said: io.StringIO = field(default_factory=io.StringIO)

    async def run(self, transport: ModelTransport, plan: Plan, *words: str, timeout_s: float = 20.0) -> None:
        console = Console(file=self.said, width=200, highlight=False)
        async with client_of(transport, timeout_s=timeout_s) as client:
            asker = Asker(client, "m", read_given(words))
            reader, writer = LineReader(self.source, self.halt), Writer(self.sink, self.halt)
            with Report(console, bar=False, total_bytes=None) as report:
                await eval_lines(asker, reader, writer, report, plan, self.threads)

    def send(self, text: str | bytes) -> None:
        os.write(self.to_source, text if isinstance(text, bytes) else text.encode())

    def end(self) -> None:
        os.close(self.to_source)
        self.to_source = -1

    async def answers(self, count: int) -> list[Any]:
        """The next ``count`` lines of the output."""

        def read() -> list[Any]:
            text = b""
            while text.count(b"\n") < count and (piece := os.read(self.from_sink, 1)):
                text += piece
            return [json.loads(line) for line in text.splitlines()]

        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.to_thread(read)

    def rest(self) -> list[Any]:
        """What was written by the end."""
        os.close(self.sink)
        self.sink = -1
        with open(self.from_sink, "rb", closefd=False) as file:
            return [json.loads(line) for line in file]


@pytest.fixture
def desk() -> Iterator[Desk]:
    source, to_source = os.pipe()
    from_sink, sink = os.pipe()
    with Halt() as halt, ThreadPoolExecutor(2) as threads:
        desk = Desk(halt, threads, source, sink, to_source, from_sink)
        yield desk
        halt.set()
    for end in (source, from_sink, desk.to_source, desk.sink):
        if end >= 0:
            os.close(end)


class Gates:
    """Holds each request until it is let go. ``waiting`` are the values of those that wait, in the order they came."""

    def __init__(self) -> None:
        self.waiting: list[dict[str, Any]] = []
        self._open: list[asyncio.Event] = []
        self._moved = asyncio.Condition()

    async def __call__(self, values: dict[str, Any]) -> None:
        event = asyncio.Event()
        async with self._moved:
            self.waiting.append(values)
            self._open.append(event)
            self._moved.notify_all()
        await event.wait()

    async def arrivals(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S), self._moved:
            await self._moved.wait_for(lambda: len(self.waiting) >= count)

    def open(self, index: int) -> None:
        self._open[index].set()


async def standstill(count: Callable[[], int]) -> None:
    """Until ``count`` has not moved for a time that is long enough for dozens of requests, if there were any."""
    before = -1
    async with asyncio.timeout(PATIENCE_S):
        while count() != before:
            before = count()
            await asyncio.sleep(0.05)


def rows(xs: Sequence[object]) -> str:
    return "".join(json.dumps({"x": x}) + "\n" for x in xs)


async def test_every_line_has_its_answer_in_order(desk: Desk) -> None:
    transport = ModelTransport(doubling)
    desk.send(rows(range(250)))
    desk.end()
    await desk.run(transport, Plan(batch=100))
    assert desk.rest() == [{"y": 2 * x} for x in range(250)]
    assert sum(size or 1 for size in transport.sizes) == 250
    assert len(transport.sizes) <= 4
    assert "250 rows in " in desk.said.getvalue()


async def test_failed_rows_are_told_by_line_and_leave_a_null(desk: Desk) -> None:
    """Line n of the output must answer row n of the input, or a join by position goes wrong for all that follow."""
    desk.send(b'{"x":1}\n\n{"x":"a"}\nnonsense\n[1]\n\xff\xfe\n{"x":-1}\n{"x":2}\n{"x":3,"z":1}\n')
    desk.end()
    await desk.run(ModelTransport(doubling), Plan(), "z=5")
    assert desk.rest() == [{"y": 2}, None, None, None, None, None, {"y": 4}, None]
    assert desk.said.getvalue().splitlines()[:-1] == [
        "line 3: field 'x': expected a number (float32), got 'a'",
        "line 4: not JSON: invalid literal, expected 'null' at character 1",
        'line 5: expected a JSON object such as {"x": 1}, one row per line',
        "line 6: not UTF-8 at byte 1",
        "line 7: the model failed (incident 1f)",
        "line 9: z stands here and on the command line: leave one out",
    ]
    assert desk.said.getvalue().splitlines()[-1].startswith("8 rows in ")
    assert desk.said.getvalue().endswith("6 failed\n")


async def test_neighbours_with_one_fault_are_told_together(desk: Desk) -> None:
    def slow(row: dict[str, Any]) -> Any:
        raise Refusal(504, "deadline_exceeded", "too late")

    desk.send(rows([1, 2, 3]))
    desk.end()
    await desk.run(ModelTransport(slow), Plan())
    assert "lines 1 to 3: too late\n" in desk.said.getvalue()
    assert "3 failed" in desk.said.getvalue()


async def test_a_line_with_a_batch_of_its_own_is_a_request_of_its_own(desk: Desk) -> None:
    transport = ModelTransport(doubling)
    desk.send('{"x":1}\n{"x":2}\n{"x":[3,4],"batch_size":2}\n{"x":5}\n')
    desk.end()
    await desk.run(transport, Plan(concurrency=1))
    assert desk.rest() == [{"y": 2}, {"y": 4}, [{"y": 6}, {"y": 8}], {"y": 10}]
    assert transport.asked == [{"batch_size": 2, "x": [1, 2]}, {"x": [3, 4], "batch_size": 2}, {"x": 5}]


async def test_fail_fast_stops_at_the_first_failure(desk: Desk) -> None:
    transport = ModelTransport(doubling)
    desk.send(rows([1, "a", 3, "b"]))
    with pytest.raises(RowFailed):
        await desk.run(transport, Plan(fail_fast=True))
    assert desk.rest() == [{"y": 2}]
    assert desk.said.getvalue().startswith("line 2: field 'x': ")
    assert desk.said.getvalue().count("line ") == 1
    assert "2 rows in " in desk.said.getvalue()
    assert desk.said.getvalue().endswith("1 failed, stopped\n")


async def test_a_line_is_answered_before_the_next_is_there(desk: Desk) -> None:
    """Somebody types, or a program waits for each answer before its next question."""
    task = asyncio.create_task(desk.run(ModelTransport(doubling), Plan()))
    for x in range(3):
        desk.send(rows([x]))
        assert await desk.answers(1) == [{"y": 2 * x}]
    desk.end()
    await task


async def test_requests_are_in_flight_together_and_no_more_than_planned(desk: Desk) -> None:
    gates = Gates()
    transport = ModelTransport(doubling, gates)
    desk.send(rows(range(8)))
    desk.end()
    task = asyncio.create_task(desk.run(transport, Plan(batch=1, concurrency=3)))
    await gates.arrivals(3)
    assert [values["x"] for values in gates.waiting] == [0, 1, 2]
    for index in (2, 1):
        gates.open(index)
        await gates.arrivals(6 - index)
    assert len(gates.waiting) == 5
    gates.open(0)
    for index in range(3, 8):
        await gates.arrivals(index + 1)
        gates.open(index)
    await task
    assert desk.rest() == [{"y": 2 * x} for x in range(8)]


async def test_memory_is_bounded_while_the_first_answer_is_late(desk: Desk) -> None:
    """A queue without bound would take in all of an endless input."""
    gates = Gates()
    transport = ModelTransport(doubling, gates)
    desk.send(rows(range(1000)))
    task = asyncio.create_task(desk.run(transport, Plan(batch=1, concurrency=2)))
    most = 1 + 2 * module._AHEAD + 1  # the late one, those that wait behind it, and one that waits for its place
    for index in range(1, most):
        await gates.arrivals(index + 1)
        gates.open(index)
    await standstill(lambda: len(gates.waiting))
    assert len(gates.waiting) == most
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nothing_is_read_while_nobody_reads_the_answers(desk: Desk) -> None:
    """A stalled ``less`` holds up everything before it."""

    def wide(row: dict[str, Any]) -> Any:
        return "y" * 100_000

    transport = ModelTransport(wide)
    sending = threading.Thread(target=desk.send, args=(rows(range(100_000)),))
    sending.start()
    task = asyncio.create_task(desk.run(transport, Plan(batch=1, concurrency=2)))
    await standstill(lambda: len(transport.asked))
    assert 2 <= len(transport.asked) <= 2 + 2 * module._AHEAD + 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while sending.is_alive():
        os.read(desk.source, 1 << 20)
        sending.join(0.001)


async def test_large_constants_make_small_batches(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeated for a hundred rows, a file of 64 MB would be 6 GB."""
    monkeypatch.setattr(module, "BATCH_BYTES", 100)
    transport = ModelTransport(doubling)
    desk.send(rows(range(4)))
    desk.end()
    await desk.run(transport, Plan(concurrency=1), "image=" + "i" * 50)
    assert transport.sizes == [2, 2]


async def test_answers_before_a_lost_server_are_written(desk: Desk) -> None:
    """An hour's work must not be lost for its last minute."""

    def leaving(row: dict[str, Any]) -> Any:
        if row["x"] >= 5:
            raise Refusal(404, "unknown_model", "no model of that id is configured")
        return doubling(row)

    desk.send(rows(range(9)))
    with pytest.raises(RemoteError, match="no model of that id"):
        await desk.run(ModelTransport(leaving), Plan(batch=1))
    assert desk.rest() == [{"y": 2 * x} for x in range(5)]
    assert desk.said.getvalue().endswith("stopped\n")


async def test_an_answer_too_deep_to_be_written_is_told(desk: Desk) -> None:
    transport = ModelTransport(doubling)
    deep = b'{"status":"ok","data":' + b"[" * 400 + b"]" * 400 + b"}"

    async def post(*arguments: Any) -> HttpAnswer:
        return HttpAnswer(200, "OK", {}, deep)

    transport.post = post  # type: ignore[method-assign]  # a strange server
    desk.send(rows([1]))
    with pytest.raises(BadAnswer, match="nested too deep"):
        await desk.run(transport, Plan())


async def test_silence_ends_at_the_deadline(desk: Desk) -> None:
    desk.send(rows([1]))
    with pytest.raises(TimedOut):
        await desk.run(ModelTransport(doubling, Gates()), Plan(), timeout_s=0.05)


async def test_cancelled_it_ends_at_once_and_leaves_what_is_written(desk: Desk) -> None:
    gates = Gates()
    task = asyncio.create_task(desk.run(ModelTransport(doubling, gates), Plan(batch=1)))
    desk.send(rows([1, 2]))
    await gates.arrivals(2)
    gates.open(0)
    assert await desk.answers(1) == [{"y": 2}]
    task.cancel()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert desk.rest() == []


async def test_a_client_closed_while_rows_are_in_flight_is_told(desk: Desk) -> None:
    class Closing(ModelTransport):
        async def post(self, *arguments: Any) -> Any:
            await client.close()
            return await super().post(*arguments)

    async def closed(values: dict[str, Any]) -> None:
        raise ClientError("cut")

    client = client_of(Closing(doubling, closed))
    asker = Asker(client, "m", read_given([]))
    desk.send(rows([1]))
    reader, writer = LineReader(desk.source, desk.halt), Writer(desk.sink, desk.halt)
    report = Report(Console(file=desk.said), bar=False, total_bytes=None)
    with report, pytest.raises(ClientError, match="the client is closed"):
        await eval_lines(asker, reader, writer, report, Plan(), desk.threads)


async def test_a_reader_of_the_answers_that_leaves_ends_it_quietly(desk: Desk) -> None:
    """``| head`` has seen enough, and wants to hear no more."""
    replaced = os.open(os.devnull, os.O_RDONLY)
    os.dup2(replaced, desk.from_sink)
    os.close(replaced)
    desk.send(rows([1]))
    with pytest.raises(BrokenPipeError):
        await desk.run(ModelTransport(doubling), Plan())
    assert desk.said.getvalue() == ""


async def test_an_input_that_cannot_be_read_is_told(desk: Desk) -> None:
    folder = os.open("/", os.O_RDONLY)
    os.dup2(folder, desk.source)
    os.close(folder)
    with pytest.raises(IsADirectoryError):
        await desk.run(ModelTransport(doubling), Plan())


async def test_an_empty_input_is_no_error(desk: Desk) -> None:
    desk.send("\n  \n")
    desk.end()
    await desk.run(ModelTransport(doubling), Plan())
    assert desk.rest() == []
    assert desk.said.getvalue().startswith("0 rows in ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'{"x":1}', ""),
        (b"{}", ""),
        (b"1", "expected a JSON object"),
        (b'{"x":1', "not JSON: unexpected end of data at character 7"),
        (b'{"x":NaN}', "not JSON: "),
        ('{"x":"\N{SNOWMAN}"'.encode() + b"\xf0", "not UTF-8 at byte 11"),
        (None, "longer than 16777216 bytes"),
    ],
)
def test_what_is_wrong_with_a_line(text: bytes | None, problem: str) -> None:
    row = parse(Line(1, text, 0), set())
    assert row.problem.startswith(problem)
    assert bool(row.problem) is bool(problem)
