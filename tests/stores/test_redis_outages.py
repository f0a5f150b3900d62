"""A Redis server that goes and comes back: faults while it is away, and the same store works after."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator
from functools import partial
from itertools import count
from random import Random

import psutil
import pytest
import uvloop

from mlserve.contracts.store import MAX_VALUE_BYTES, Table
from mlserve.stores.redis import READERS, WRITERS
from tests.support.redis_server import RedisServer, redis_server
from tests.support.redis_stores import HUGE_BYTES, LIFE_S, PATIENCE_S, again, given_up, opened, says

LARGE = [(b"%d" % number, b"x" * MAX_VALUE_BYTES, LIFE_S) for number in range(16)]
"""More than the sockets of a loopback hold."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """One that is not ill-treated, for several tests."""
    with redis_server() as server:
        yield server


async def test_killed_and_started_again() -> None:
    """In the middle of reads and writes."""
    with redis_server() as server:
        async with opened(server.url) as (store, table):
            await table.put_many([(b"a", b"1", LIFE_S)])
            server.process.kill()
            server.process.wait()
            put = partial(table.put_many, [(b"b", b"2", LIFE_S)])
            for call in (partial(table.get_many, [b"a"]), put, store.check):
                await says(call())
                assert "nobody listens there" in await says(call())
            server.restart()
            await store.check()
            assert await table.get_many([b"a"]) == [None]
            await table.put_many([(b"a", b"2", LIFE_S)])
            assert await table.get_many([b"a"]) == [b"2"]


async def test_restarted_while_nobody_asked() -> None:
    """Is not even noticed."""
    with redis_server() as server:
        async with opened(server.url) as (store, table):
            await table.put_many([(b"a", b"1", LIFE_S)])
            server.restart()
            while any(slot.live for pool in store._pools for slot in pool._slots):
                await asyncio.sleep(0)
            assert await table.get_many([b"a"]) == [None]
            await table.put_many([(b"a", b"1", LIFE_S)])


async def test_it_closes_after_each_reply() -> None:
    """A proxy that keeps no connection is slow, and not a fault."""
    turns = count(1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1000):
            writer.write(b"*1\r\n$1\r\n%d\r\n" % next(turns))
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with opened(f"redis://127.0.0.1:{port}/0") as (_, table):
        for number in range(2, 5):
            assert await again(partial(table.get_many, [b"a"])) == [b"%d" % number]
    listening.close()
    await listening.wait_closed()


async def test_frozen() -> None:
    """Reads are given up by their callers; what the server answers late is nobody's."""
    with redis_server() as server:
        async with opened(server.url) as (_, table):
            await table.put_many([(b"%d" % number, b"%d" % number, LIFE_S) for number in range(20)])
            server.freeze()
            for number in range(10):
                await given_up(table.get_many([b"%d" % number]), 0.005)
            server.thaw()
            for number in range(10, 20):
                assert await table.get_many([b"%d" % number]) == [b"%d" % number]


async def test_frozen_in_a_large_write() -> None:
    """What was not sent is dropped with its socket: else every write to a server that hangs would add to both."""
    sockets = psutil.Process().num_fds
    with redis_server() as server:
        async with opened(server.url) as (_, table):
            await table.put_many([(b"a", b"1", LIFE_S)])
            before = sockets()
            server.freeze()
            tracemalloc.start()
            for _ in range(3):
                await given_up(table.put_many(LARGE), 0.05)
            async with asyncio.timeout(PATIENCE_S):
                while sockets() > before or tracemalloc.get_traced_memory()[0] > MAX_VALUE_BYTES:
                    await asyncio.sleep(0.001)
            tracemalloc.stop()
            server.thaw()
            await table.put_many([(b"a", b"2", LIFE_S)])
            assert await table.get_many([b"a"]) == [b"2"]


async def test_cancelled_under_load(server: RedisServer) -> None:
    """However many callers leave at whatever moment, each of the others gets its own values."""
    random = Random(7)
    server.client.mset({f"{number}": f"value {number}" for number in range(1000)})

    async def ask(table: Table[bytes, bytes], leaves: bool) -> None:
        numbers = random.sample(range(1000), random.randint(1, 30))
        try:
            async with asyncio.timeout(random.random() * 0.01 if leaves else None):
                values = await table.get_many([b"%d" % number for number in numbers])
        except TimeoutError:
            assert leaves
        else:
            assert values == [b"value %d" % number for number in numbers]

    async with opened(server.url) as (_, table):
        for _ in range(20):
            await asyncio.gather(*(ask(table, random.random() < 0.3) for _ in range(50)))
        clients = server.client.info("clients")["connected_clients"]
        assert clients <= READERS + WRITERS + 1


def test_on_the_loop_of_the_daemon() -> None:
    """uvloop has other transports: TLS, faults and the end are the same there."""

    async def main(secure: RedisServer) -> None:
        async with opened(secure.url) as (store, table):
            await table.put_many([(b"a", b"1", LIFE_S)])
            secure.client.setrange("huge", HUGE_BYTES - 1, b"x")
            assert await table.get_many([b"a", b"huge"]) == [b"1", None]
            secure.freeze()
            await given_up(table.put_many(LARGE), 0.01)
            secure.thaw()
            assert await table.get_many([b"a"]) == [b"1"]
            secure.restart()
            assert await again(partial(table.get_many, [b"a"])) == [None]
            await store.check()

    with redis_server(tls=True) as secure:
        uvloop.run(main(secure))
