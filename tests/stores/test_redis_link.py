"""One connection, against a server that answers whatever a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import hiredis
import pytest

from mlserve.contracts.store import MAX_VALUE_BYTES, StoreFault
from mlserve.stores.redis_address import Address, Login
from mlserve.stores.redis_connect import connect
from mlserve.stores.redis_link import MAX_UNREAD_BYTES, Link, Oversized, packed
from tests.support.redis_double import RedisDouble, Script, redis_double

PATIENCE_S = 10.0
PING = packed("PING")


@asynccontextmanager
async def linked(script: Script) -> AsyncIterator[tuple[Link, RedisDouble]]:
    """A link to a server of ``script``, both gone at the end."""
    async with redis_double(script) as double, asyncio.timeout(PATIENCE_S):
        link = await connect(Address("127.0.0.1", double.port), None, PATIENCE_S)
        yield link, double
        link.abort()
        await link.lost


def always(answer: bytes | None) -> Script:
    return lambda command: answer


def one_by_one(*answers: bytes | None) -> Script:
    rest: Iterator[bytes | None] = iter(answers)
    return lambda command: next(rest)


async def test_replies_in_order() -> None:
    """Each of several commands has its own reply, and a link serves many exchanges."""
    async with linked(lambda command: b"$%d\r\n%s\r\n" % (len(command[1]), command[1])) as (link, _):
        for _ in range(3):
            assert await link.exchange(packed("ECHO", b"a") + packed("ECHO", b"\r\n"), 2, PATIENCE_S) == [b"a", b"\r\n"]


async def test_a_reply_in_pieces() -> None:
    """However the network cuts it."""
    whole = b"*3\r\n$3\r\nabc\r\n$-1\r\n:7\r\n"
    async with redis_double(always(b"")) as double, asyncio.timeout(PATIENCE_S):
        link = await connect(Address("127.0.0.1", double.port), None, PATIENCE_S)
        for cut in range(1, len(whole)):
            exchange = asyncio.create_task(link.exchange(PING, 1, PATIENCE_S))
            await asyncio.sleep(0)
            link.data_received(whole[:cut])
            link.data_received(whole[cut:])
            assert await exchange == [[b"abc", None, 7]]
        link.abort()
        await link.lost


async def test_an_error_is_a_reply() -> None:
    """What it means is the caller's to say; the connection is as good as before."""
    async with linked(always(b"-OOM full\r\n")) as (link, _):
        (reply,) = await link.exchange(PING, 1, PATIENCE_S)
        assert isinstance(reply, hiredis.ReplyError)
        assert (str(reply), link.ended) == ("OOM full", None)


async def test_a_caller_that_leaves_takes_nobodys_answer() -> None:
    """The next caller would be given the reply to this one, or every impatient client cost a connection."""
    async with linked(lambda command: b"$%d\r\n%s\r\n" % (len(command[1]), command[1])) as (link, double):
        exchange = asyncio.create_task(link.exchange(packed("ECHO", b"a") + packed("ECHO", b"b"), 2, PATIENCE_S))
        await asyncio.sleep(0)
        exchange.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange
        assert not link.ready
        while not link.ready:
            await asyncio.sleep(0)
        assert await link.exchange(packed("ECHO", b"c"), 1, PATIENCE_S) == [b"c"]
        assert double.connections == 1


async def test_replies_that_are_still_due_when_the_link_ends() -> None:
    """Nobody waits for them; the end must not be anybody's error."""
    async with linked(one_by_one(b"", None)) as (link, _):
        exchange = asyncio.create_task(link.exchange(PING + PING, 2, PATIENCE_S))
        await asyncio.sleep(0)
        exchange.cancel()
        await asyncio.wait([exchange])
        await link.lost
        assert "closed" in str(link.ended)
        assert not link.ready


async def test_no_exchange_is_without_a_limit() -> None:
    """A server that never answers would keep who asks it, whether or not that one has a deadline of its own."""
    async with linked(lambda command: b"" if command == [b"PING"] else b"+OK\r\n") as (link, _):
        assert await link.exchange(packed("SELECT", 0), 1, 0.03) == [b"OK"]
        start = asyncio.get_running_loop().time()
        with pytest.raises(StoreFault, match=r"no answer in 0\.03 s"):
            await link.exchange(PING, 1, 0.03)
        assert asyncio.get_running_loop().time() - start >= 0.03
        assert not link.ready


async def test_ended_while_busy() -> None:
    """Who waits for a reply is told, at once."""
    async with linked(always(b"")) as (link, _):
        exchange = asyncio.create_task(link.exchange(PING, 1, PATIENCE_S))
        await asyncio.sleep(0)
        link.abort()
        with pytest.raises(StoreFault, match="given up"):
            await exchange


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no Redis server"),
        (b"+OK\r\n+OK\r\n", "what nobody asked for"),
        (None, "the server closed the connection"),
    ],
    ids=["http", "too many", "closed"],
)
async def test_what_is_no_reply(answer: bytes | None, says: str) -> None:
    """Ends the link, with words for it."""
    async with linked(always(answer)) as (link, _):
        with pytest.raises(StoreFault, match=says):
            await link.exchange(PING, 1, PATIENCE_S)
        assert link.ended is not None


async def test_half_a_reply_and_the_end() -> None:
    """Is no reply."""
    async with linked(one_by_one(b"$100\r\nabc", None)) as (link, _):
        with pytest.raises(StoreFault, match="closed"):
            await link.exchange(PING + PING, 2, PATIENCE_S)


async def test_a_server_that_turns_clients_away() -> None:
    """Says why before it closes; so do we."""
    async with linked(one_by_one(b"-ERR max number of clients reached\r\n", None)) as (link, _):
        with pytest.raises(StoreFault, match="maxclients"):
            await link.exchange(PING + PING, 2, PATIENCE_S)


async def test_a_server_that_closes_after_each_reply() -> None:
    """The reply counts; then the link is known to have ended, before anybody uses it."""
    async with linked(one_by_one(b"+OK\r\n", None)) as (link, _):
        assert await link.exchange(PING, 1, PATIENCE_S) == [b"OK"]
        link._transport.write(PING)
        await link.lost
        assert link.ended is not None


@pytest.mark.parametrize("stray", [b"+OK\r\n", b"+O"], ids=["whole", "half"])
async def test_a_stray_reply_is_taken_for_nobodys(stray: bytes) -> None:
    """One that comes between two exchanges, or half of it, ends the link."""
    async with linked(always(b"+PONG\r\n")) as (link, _):
        assert await link.exchange(PING, 1, PATIENCE_S) == [b"PONG"]
        link.data_received(stray)
        with pytest.raises(StoreFault, match="nobody asked"):
            await link.exchange(PING, 1, PATIENCE_S)


async def test_a_value_that_is_too_large_is_not_read() -> None:
    """A hundred megabytes under one of our names cost one megabyte at most, wherever they stand in the reply."""
    async with linked(always(b"")) as (link, _):
        exchange = asyncio.create_task(link.exchange(PING, 1, PATIENCE_S))
        await asyncio.sleep(0)
        link.data_received(b"*3\r\n$1\r\na\r\n$100000000\r\n")
        part, held = b"x" * 65536, 0
        while link.ended is None:
            link.data_received(part)
            held += len(part)
        with pytest.raises(Oversized):
            await exchange
        assert held <= MAX_UNREAD_BYTES + len(part)


async def test_many_values_of_full_size() -> None:
    """The limit is that of each value, not of a reply."""
    value = b"$%d\r\n%s\r\n" % (MAX_VALUE_BYTES, b"x" * MAX_VALUE_BYTES)
    async with linked(always(b"*20\r\n" + 20 * value)) as (link, _):
        assert await link.exchange(PING, 1, PATIENCE_S) == [[b"x" * MAX_VALUE_BYTES] * 20]


class TestConnect:
    async def test_logs_in_and_selects(self) -> None:
        """Before anything else is sent."""
        async with redis_double(always(b"+OK\r\n")) as double, asyncio.timeout(PATIENCE_S):
            address = Address("127.0.0.1", double.port, db=3, login=Login("ü", "pä ss"))
            link = await connect(address, None, PATIENCE_S)
            assert double.asked == [[b"AUTH", "ü".encode(), "pä ss".encode()], [b"SELECT", b"3"]]
            link.abort()
            await link.lost

    @pytest.mark.parametrize("then", [b"+OK\r\n", None], ids=["stays", "closes"])
    async def test_never_quotes_the_password(self, then: bytes | None) -> None:
        """A server that knows no AUTH says what it was sent."""
        said = b"-ERR unknown command 'AUTH', with args beginning with: 'u' 'hunter2'\r\n"
        async with redis_double(one_by_one(said, then)) as double:
            address = Address("127.0.0.1", double.port, db=1, login=Login("u", "hunter2"))
            with pytest.raises(StoreFault, match=r"does not take this command.*'\*\*\*'") as raised:
                await connect(address, None, PATIENCE_S)
            shown = repr([raised.value, raised.value.__cause__, raised.value.__suppress_context__])
            assert "hunter2" not in shown
            assert raised.value.__suppress_context__

    async def test_has_a_deadline(self) -> None:
        """A server that takes connections and says nothing is given up, and its connection closed."""
        async with redis_double(always(b"")) as double, asyncio.timeout(PATIENCE_S):
            address = Address("127.0.0.1", double.port, db=1)
            with pytest.raises(StoreFault, match=f"no connection to 127.0.0.1:{double.port}: no answer in 0.05 s"):
                await connect(address, None, 0.05)
            while double.open:
                await asyncio.sleep(0)
            assert double.connections == 1

    async def test_a_caller_that_leaves(self) -> None:
        """Takes its half-made connection along."""
        asked = asyncio.Event()

        def script(command: list[bytes]) -> bytes:
            asked.set()
            return b""

        async with redis_double(script) as double, asyncio.timeout(PATIENCE_S):
            connecting = asyncio.create_task(connect(Address("127.0.0.1", double.port, db=1), None, PATIENCE_S))
            await asked.wait()
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            while double.open:
                await asyncio.sleep(0)
