"""The Redis store against real servers, well and ill. What every store does stands in ``test_contract.py``."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from statistics import median
from time import perf_counter

import pytest
import redis.asyncio

from mlserve.contracts.store import MAX_VALUE_BYTES, StoreRefused, Table
from tests.support.redis_double import redis_double
from tests.support.redis_server import RedisServer, redis_server
from tests.support.redis_stores import HUGE_BYTES, LIFE_S, opened, says

SECRET = "hunter2"


@pytest.fixture(scope="module")
def shared() -> Iterator[RedisServer]:
    """One for all tests that leave it as it was, but for its contents."""
    with redis_server() as server:
        yield server


@pytest.fixture
def server(shared: RedisServer) -> RedisServer:
    shared.client.flushall()
    shared.client.config_resetstat()
    return shared


class TestEntries:
    async def test_are_there_for_everybody(self, server: RedisServer) -> None:
        """Under the very names, with the very values, in the database of the URL, each with its end."""
        async with opened(server.url) as (_, table):
            await table.put_many([(b"\0a", b"\xff", LIFE_S), (b"b", b"", 5.0)])
            assert server.client.mget(b"\0a", b"b") == [b"\xff", b""]
            assert 0 < server.client.pttl(b"\0a") <= LIFE_S * 1000
            assert 0 < server.client.pttl(b"b") <= 5000

    async def test_a_read_is_one_command(self, server: RedisServer) -> None:
        """And so one round trip, for a thousand names."""
        names = [b"%d" % number for number in range(1000)]
        async with opened(server.url) as (_, table):
            server.client.config_resetstat()
            await table.get_many(names)
            assert server.client.info("commandstats")["cmdstat_mget"]["calls"] == 1

    async def test_a_write_waits_once(self) -> None:
        """All of a thousand are sent before the first is answered."""
        pending: list[list[bytes]] = []

        def script(command: list[bytes]) -> bytes:
            if command[0] != b"SET":
                return b"*1\r\n$-1\r\n"
            pending.append(command)
            return b"" if len(pending) < 1000 else b"+OK\r\n" * 1000

        async with redis_double(script) as double, opened(double.url) as (_, table):
            await table.put_many([(b"%d" % number, b"v", LIFE_S) for number in range(1000)])
        assert pending[7] == [b"SET", b"7", b"v", b"PX", b"60000"]

    @pytest.mark.parametrize(
        ("life_s", "ms"), [(1e-9, 1), (0.0011, 2), (1e300, 315_360_000_000), (float("inf"), 315_360_000_000)]
    )
    async def test_any_life(self, life_s: float, ms: int) -> None:
        """The server is given whole milliseconds that it takes."""
        async with redis_double(lambda command: b"*1\r\n$-1\r\n") as double, opened(double.url) as (_, table):
            await table.put_many([(b"a", b"1", life_s)])
        assert double.asked[-1] == [b"SET", b"a", b"1", b"PX", b"%d" % ms]

    async def test_longest_life_is_taken(self, server: RedisServer) -> None:
        """By a real server, too."""
        async with opened(server.url) as (_, table):
            await table.put_many([(b"a", b"1", float("inf"))])
            assert await table.get_many([b"a"]) == [b"1"]

    @pytest.mark.parametrize("name", [b"", b"n" * 501], ids=["empty", "long"])
    async def test_names_are_held_to_the_contract(self, server: RedisServer, name: bytes) -> None:
        """Nothing of such a write is stored."""
        async with opened(server.url) as (_, table):
            items = [(b"a", b"1", LIFE_S), (name, b"2", LIFE_S)]
            assert "expected 1 to 500" in await says(table.put_many(items), StoreRefused)
            assert server.client.dbsize() == 0

    async def test_what_is_no_string_is_a_miss(self, server: RedisServer) -> None:
        """Somebody else's list under our name harms no neighbour."""
        server.client.rpush("list", "x")
        async with opened(server.url) as (_, table):
            await table.put_many([(b"a", b"1", LIFE_S)])
            assert await table.get_many([b"list", b"a"]) == [None, b"1"]

    async def test_the_database_of_the_url(self, server: RedisServer) -> None:
        """Is another than the default one."""
        async with opened(f"redis://127.0.0.1:{server.port}/5") as (_, table):
            await table.put_many([(b"a", b"1", LIFE_S)])
            assert await table.get_many([b"a"]) == [b"1"]
        assert server.client.dbsize() == 0


class TestOversized:
    async def test_is_a_miss_among_hits(self, server: RedisServer) -> None:
        """Somebody's hundred megabytes cost their neighbours nothing; and the next reads work."""
        server.client.setrange("huge", HUGE_BYTES - 1, b"x")
        server.client.rpush("list", "x")
        async with opened(server.url) as (_, table):
            await table.put_many([(b"a", b"1", LIFE_S), (b"empty", b"", LIFE_S)])
            names = [b"a", b"huge", b"absent", b"list", b"empty", b"huge", b"a"]
            for _ in range(2):
                assert await table.get_many(names) == [b"1", None, None, None, b"", None, b"1"]
            assert await table.get_many([b"huge"]) == [None]
            await table.put_many([(b"huge", b"small now", LIFE_S)])
            assert await table.get_many([b"huge"]) == [b"small now"]

    @pytest.mark.parametrize("over", [0, 1, 70_000])
    async def test_by_a_little(self, server: RedisServer, over: int) -> None:
        """The limit is exact, however much came with one read of the socket."""
        value = b"x" * (MAX_VALUE_BYTES + over)
        server.client.mset({"large": value, "a": "1"})
        async with opened(server.url) as (_, table):
            assert await table.get_many([b"large", b"a"]) == [None if over else value, b"1"]

    async def test_costs_no_memory(self, server: RedisServer) -> None:
        """Of this process, measured from outside: in one of its own, by the kernel."""
        server.client.setrange("huge", HUGE_BYTES - 1, b"x")
        lines = [
            "import asyncio, re, sys",
            "from pathlib import Path",
            "from mlserve.contracts.store import StoreOptions",
            "from mlserve.stores.redis import RedisStore",
            "def peak_kib(): return int(re.search(r'VmHWM:\\s+([0-9]+) kB', Path('/proc/self/status').read_text())[1])",
            "async def main():",
            "    store = RedisStore(StoreOptions(sys.argv[1], read_timeout_s=10.0))",
            "    await store.open()",
            "    before = peak_kib()",
            "    for _ in range(3): assert await store.entries(None, None).get_many([b'huge', b'a']) == [None, None]",
            "    print((peak_kib() - before) * 1024)",
            "    await store.close()",
            "asyncio.run(main())",
        ]
        run = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", "\n".join(lines), server.url], capture_output=True, check=True
        )
        assert int(run.stdout) < 16 * MAX_VALUE_BYTES

    async def test_written_between_length_and_value(self) -> None:
        """A value that grows while we ask for what is small: all are misses, once."""
        huge = b"*1\r\n$%d\r\n%s" % (HUGE_BYTES, b"x" * (MAX_VALUE_BYTES + 100_000))

        def script(command: list[bytes]) -> bytes:
            return b":3\r\n" if command[0] == b"STRLEN" else huge if command[1] == b"a" else b"*1\r\n$-1\r\n"

        async with redis_double(script) as double, opened(double.url) as (_, table):
            assert await table.get_many([b"a"]) == [None]
            assert await table.get_many([b"b"]) == [None]

    async def test_many_of_full_size_are_no_such_value(self, server: RedisServer) -> None:
        """A large answer of small values is had in one read."""
        names = [b"%d" % number for number in range(30)]
        for name in names:
            server.client.set(name, name * (MAX_VALUE_BYTES // len(name)))
        async with opened(server.url) as (_, table):
            values = await table.get_many(names)
            assert [value and value[:2] for value in values] == [(name * 2)[:2] for name in names]
            assert server.client.info("commandstats").get("cmdstat_strlen") is None


class TestRefused:
    """A write the server does not take; reads go on over the same connections."""

    async def refusal(self, table: Table[bytes, bytes]) -> str:
        text = await says(table.put_many([(b"mlserve:b", b"x" * 1000, LIFE_S)]), StoreRefused)
        assert await table.get_many([b"mlserve:a"]) == [b"1"]
        return text

    async def test_out_of_memory(self) -> None:
        """The operator learns which settings it is about."""
        with redis_server() as server:
            server.client.set("mlserve:a", "1")
            async with opened(server.url) as (_, table):
                server.client.config_set("maxmemory", 1)
                assert "maxmemory-policy" in await self.refusal(table)
                server.client.config_set("maxmemory", 0)
                await table.put_many([(b"b", b"2", LIFE_S)])
                assert server.client.info("clients")["connected_clients"] == 3

    async def test_a_replica(self) -> None:
        """The wrong node of a pair serves reads, and says it takes no writes."""
        with redis_server() as server:
            server.client.set("mlserve:a", "1")
            async with opened(server.url) as (_, table):
                server.client.slaveof("127.0.0.1", 1)
                assert "address of the primary" in await self.refusal(table)

    async def test_a_user_who_may_only_read(self, server: RedisServer) -> None:
        """Is told which rights are missing, and for a name that it may not read, too."""
        server.client.execute_command("ACL", "SETUSER", "reader", "on", f">{SECRET}", "~mlserve:*", "+mget")
        server.client.set("mlserve:a", "1")
        async with opened(f"redis://reader:{SECRET}@127.0.0.1:{server.port}/0") as (store, table):
            assert "+set" in await self.refusal(table)
            assert "NOPERM" in await says(table.get_many([b"other"]))
            await store.check()

    async def test_loading(self) -> None:
        """A server that reads its data from disk answers neither; the breaker learns it from the check."""
        loading = [False]

        def script(command: list[bytes]) -> bytes:
            return b"-LOADING Redis is loading the dataset in memory\r\n" if loading[0] else b"*1\r\n$-1\r\n"

        async with redis_double(script) as double, opened(double.url) as (store, table):
            loading[0] = True
            assert "still loads" in await says(table.put_many([(b"a", b"1", LIFE_S)]), StoreRefused)
            assert "still loads" in await says(store.check())
            loading[0] = False
            await store.check()

    async def test_one_of_many(self) -> None:
        """Any refused item is told, wherever it stands."""

        def script(command: list[bytes]) -> bytes:
            return {b"MGET": b"*1\r\n$-1\r\n"}.get(command[0], b"-MISCONF x\r\n" if command[1] == b"3" else b"+OK\r\n")

        async with redis_double(script) as double, opened(double.url) as (_, table):
            items = [(b"%d" % number, b"v", LIFE_S) for number in range(5)]
            assert "cannot save" in await says(table.put_many(items), StoreRefused)


def test_a_hit_costs_no_more_than_the_plain_client(server: RedisServer) -> None:
    """redis-py's ``get`` on the same server, taken in turns; half as much again would be too slow.

    In a loop of its own, as the watch for blocking calls would be measured as well.
    """
    server.client.set("a", "x" * 300)

    async def main() -> tuple[float, float]:
        async with redis.asyncio.from_url(server.url) as plain, opened(server.url) as (_, table):
            ours, theirs = partial(table.get_many, [b"a"]), partial(plain.get, b"a")
            turns = [(await times(ours), await times(theirs)) for _ in range(10)]
        return min(our for our, _ in turns), min(their for _, their in turns)

    async def times(call: Callable[[], Awaitable[object]]) -> float:
        taken = []
        for _ in range(50):
            begun = perf_counter()
            await call()
            taken.append(perf_counter() - begun)
        return median(taken)

    ours, theirs = asyncio.run(main())
    assert ours < 1.5 * theirs
