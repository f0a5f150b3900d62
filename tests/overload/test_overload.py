"""Five times more requests than the server can answer: what it takes in it answers in time, the rest it refuses.

``MLSERVE_TEST_OVERLOAD_SECONDS=20`` makes the load as long as the promise says. Bounds are those of the promise where
the figure is the server's, and wider where other processes on the machine take part in it; each says which.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

import psutil

from tests.support.daemon import Daemon
from tests.support.load import PATIENCE_S, Reply, callers, closed_loop, open_loop, percentile

SECONDS = float(os.environ.get("MLSERVE_TEST_OVERLOAD_SECONDS", "8"))
COST_S = 0.01
DEADLINE_S = 1.0
CALLERS = 600
"""More than wait for an answer at once, or the load would not be what it says."""
BODIES = 40

GET = b"GET /v1/api/model/m/eval?x=1 HTTP/1.1\r\nHost: test\r\n\r\n"

Serve = Callable[[float, str], AbstractContextManager[Daemon]]


def of(replies: list[Reply], status: int) -> list[Reply]:
    return [reply for reply in replies if reply.status == status]


def rss_bytes(daemon: Daemon) -> int:
    return psutil.Process(daemon.process.pid).memory_info().rss


async def peak_rss_bytes(daemon: Daemon, over: asyncio.Event) -> int:
    """The most that the server held until then."""
    peak = 0
    while not over.is_set():
        peak = max(peak, rss_bytes(daemon))
        with suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                await over.wait()
    return peak


def test_five_times_the_load(serve: Serve) -> None:
    """An overloaded server that answers everybody late answers nobody."""

    async def load(daemon: Daemon) -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        async with callers(daemon.port, CALLERS) as clients, asyncio.TaskGroup() as group:
            start = loop.time()
            alone = await closed_loop(clients[:2], GET, each=50)
            per_second = len(alone) / (loop.time() - start)
            before = rss_bytes(daemon)
            peak = group.create_task(peak_rss_bytes(daemon, over))
            replies = await open_loop(clients, GET, per_second=5 * per_second, seconds=SECONDS)
            ended = loop.time()
            over.set()

            answered, refused = of(replies, 200), of(replies, 429)
            assert len(answered) + len(refused) >= 0.99 * len(replies), "what is taken in is answered, not timed out"
            # The load counts from when it sends, the server from when it reads: a busy machine lies between.
            assert percentile(answered, 99) < DEADLINE_S + 0.2
            assert len(answered) > 0.7 * per_second * SECONDS, "refusing must not keep the model waiting"
            assert len(refused) > len(replies) / 2, "the test was to ask for far too much"
            assert all(int(reply.headers["retry-after"]) >= 1 for reply in refused)
            assert all("connection" not in reply.headers for reply in refused), "to connect again costs more"
            assert percentile(refused, 50) < 0.02
            assert percentile(refused, 95) < 0.1, "20 ms, and what other processes on the machine take of it"
            assert await peak - before < 64 * 2**20

            await asyncio.sleep(ended + 2.0 - loop.time())
            again = await closed_loop(clients[:2], GET, each=25)
            assert {reply.status for reply in again} == {200}
            assert percentile(again, 50) < 2 * percentile(alone, 50)

    with serve(COST_S, f"{{WriteTimeoutMs: {DEADLINE_S * 1000:.0f}}}") as daemon:
        asyncio.run(load(daemon))


def test_many_large_bodies_at_once(serve: Serve) -> None:
    """Bodies fill the memory that MaxInFlightBytes gives them, not the machine's."""
    size, bound = 4 * 2**20, 32 * 2**20
    body = b'{"x": [1]' + b" " * (size - 10) + b"}"
    request = b"POST /v1/api/model/m/eval HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % size + body

    async def send(port: int, all_here: asyncio.Barrier) -> int:
        """All but the last byte, and that when everybody has got so far. The status of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request[:-1])
            with suppress(ConnectionError):
                await writer.drain()
            await all_here.wait()
            writer.write(request[-1:])
            async with asyncio.timeout(PATIENCE_S):
                return int((await reader.readline()).split()[1])
        finally:
            writer.transport.abort()

    async def load(daemon: Daemon) -> None:
        before, over, all_here = rss_bytes(daemon), asyncio.Event(), asyncio.Barrier(BODIES)
        async with asyncio.TaskGroup() as group:
            peak = group.create_task(peak_rss_bytes(daemon, over))
            sending = [group.create_task(send(daemon.port, all_here)) for _ in range(BODIES)]
            await asyncio.wait(sending)
            over.set()
        assert {task.result() for task in sending} == {200, 429}
        # The bound, and for a few bodies their copies: when they are whole, and when they are decoded.
        assert peak.result() - before < bound + 64 * 2**20 < BODIES * size
        async with callers(daemon.port, 1) as clients:
            assert (await clients[0].ask(request)).status == 200, "there is room again"

    with serve(0.0, f"{{MaxInFlightBytes: {bound}, ReadTimeoutMs: 20000, WriteTimeoutMs: 20000}}") as daemon:
        asyncio.run(load(daemon))
