"""Connections that are lent, lost and made again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from mlserve.contracts.store import StoreFault
from mlserve.stores.redis_address import Address
from mlserve.stores.redis_connect import connect
from mlserve.stores.redis_link import Link, packed
from mlserve.stores.redis_pool import Pool
from tests.support.redis_double import RedisDouble, redis_double

PATIENCE_S = 10.0
SIZE = 2


@dataclass(slots=True)
class Stage:
    """A pool and its server, which answers ``HOLD x`` with nothing, ``DIE`` with its end, and ``SAY x`` with x."""

    double: RedisDouble
    may_connect: asyncio.Event = field(default_factory=asyncio.Event)
    connecting: int = 0
    pool: Pool = field(init=False)

    def __post_init__(self) -> None:
        self.may_connect.set()
        self.pool = Pool(self._connect, SIZE, limit_s=PATIENCE_S, worth_s=PATIENCE_S)

    async def say(self, text: bytes) -> object:
        (reply,) = await self.pool.exchange(packed("SAY", text), 1)
        return reply

    def held(self) -> asyncio.Task[object]:
        return asyncio.create_task(self.pool.exchange(packed("HOLD"), 1))

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await asyncio.sleep(0)

    async def _connect(self) -> Link:
        self.connecting += 1
        await self.may_connect.wait()
        return await connect(Address("127.0.0.1", self.double.port), None, PATIENCE_S)


def script(command: list[bytes]) -> bytes | None:
    what, *rest = command
    return {b"HOLD": b"", b"DIE": None}[what] if what != b"SAY" else b"$%d\r\n%s\r\n" % (len(rest[0]), rest[0])


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with redis_double(script) as double, asyncio.timeout(PATIENCE_S):
        made = Stage(double)
        yield made
        await made.pool.close()
        await made.until(lambda: double.open == 0)


async def ends(task: Awaitable[object]) -> str:
    with pytest.raises(StoreFault) as raised:
        await task
    return str(raised.value)


async def test_one_connection_serves_one_after_the_other(stage: Stage) -> None:
    """Nobody pays for connecting but the first."""
    for text in b"a", b"b", b"c":
        assert await stage.say(text) == text
    assert stage.double.connections == 1


async def test_no_more_connections_than_allowed(stage: Stage) -> None:
    """The others wait, and get their own answers."""
    texts = [b"%d" % number for number in range(50)]
    assert await asyncio.gather(*map(stage.say, texts)) == texts
    assert stage.double.connections <= SIZE


async def test_who_waits_for_a_connection_may_leave(stage: Stage) -> None:
    """And takes none along."""
    held = [stage.held() for _ in range(SIZE)]
    await stage.until(lambda: len(stage.double.asked) == SIZE)
    waiting = asyncio.create_task(stage.say(b"a"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    for task in held:
        task.cancel()
    await asyncio.wait(held)
    texts = [b"1", b"2", b"3"]
    assert await asyncio.gather(*map(stage.say, texts)) == texts


async def test_who_leaves_early_costs_no_connection(stage: Stage) -> None:
    """Clients that close their page at once would have the server log in again and again, for everybody."""
    for number in range(20):
        leaves = asyncio.create_task(stage.say(b"gone"))
        await stage.until(lambda asked=number: len(stage.double.asked) > 2 * asked)
        leaves.cancel()
        await asyncio.wait([leaves])
        assert await stage.say(b"a") == b"a"
    assert stage.double.connections <= SIZE


async def test_who_waited_in_vain_ends_them_all(stage: Stage) -> None:
    """Connections that a gateway forgot overnight would cost each of the next requests its whole patience."""
    stage.pool._worth_s = 0.01
    await asyncio.gather(*(stage.say(b"x") for _ in range(SIZE)))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await stage.pool.exchange(packed("HOLD"), 1)
    await stage.until(lambda: stage.double.open == 0)
    assert await stage.say(b"b") == b"b"


async def test_what_still_owes_replies_is_lent_to_nobody(stage: Stage) -> None:
    """Though all others are in use: a new connection answers sooner than one that is held up."""
    held = [stage.held() for _ in range(SIZE)]
    await stage.until(lambda: len(stage.double.asked) == SIZE)
    held[0].cancel()
    await asyncio.wait([held[0]])
    assert await stage.say(b"a") == b"a"
    assert stage.double.connections == SIZE + 1
    held[1].cancel()
    await asyncio.wait([held[1]])


async def test_what_ended_is_made_again(stage: Stage) -> None:
    """A server that closed while nobody asked costs no error."""
    await stage.say(b"a")
    for slot in stage.pool._slots:
        slot.drop()
    assert await stage.say(b"b") == b"b"
    assert stage.double.connections == 2


async def test_a_fault_ends_those_that_rest(stage: Stage) -> None:
    """Their server is gone as well, and each would cost another fault, or another timeout."""
    await asyncio.gather(*(stage.say(b"x") for _ in range(SIZE)))
    assert stage.double.open == SIZE
    assert "closed" in await ends(stage.pool.exchange(packed("DIE"), 1))
    await stage.until(lambda: stage.double.open == 0)
    assert await stage.say(b"b") == b"b"


async def test_connecting_goes_on_without_its_caller(stage: Stage) -> None:
    """A read has less time than TLS may take: were it begun anew each time, no read would ever be answered."""
    stage.may_connect.clear()
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await stage.say(b"a")
    assert stage.connecting <= SIZE
    stage.may_connect.set()
    assert await stage.say(b"b") == b"b"


async def test_a_connection_that_cannot_be_made(stage: Stage) -> None:
    """Is a fault each time, and the pool works once it can."""
    port, stage.double.port = stage.double.port, 1
    for _ in range(SIZE + 1):
        assert "nobody listens there" in await ends(stage.say(b"a"))
    stage.double.port = port
    assert await stage.say(b"b") == b"b"


async def test_closed_while_busy(stage: Stage) -> None:
    """Who uses one, who connects and who waits is told, and nothing is left."""
    held = stage.held()
    await stage.until(lambda: len(stage.double.asked) == 1)
    stage.may_connect.clear()
    connecting = asyncio.create_task(stage.say(b"a"))
    waiting = asyncio.create_task(stage.say(b"b"))
    await stage.until(lambda: stage.connecting == 2)
    await stage.pool.close()
    assert "given up" in await ends(held)
    assert await ends(connecting) == await ends(waiting) == "the connection is closed"
    assert await ends(stage.say(b"c")) == "the connection is closed"


async def test_closed_twice(stage: Stage) -> None:
    """Does no harm."""
    await stage.say(b"a")
    await stage.pool.close()
    await stage.pool.close()
