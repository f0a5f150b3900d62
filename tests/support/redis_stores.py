"""What tests of the Redis store do with one: open it, and look at how it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from mlserve.contracts.store import StoreFault, StoreOptions, Table
from mlserve.stores.redis import RedisStore

LIFE_S = 60.0
PATIENCE_S = 20.0
"""Far more than anything here takes; a hang fails."""
HUGE_BYTES = 100_000_000


@asynccontextmanager
async def opened(url: str, **options: float) -> AsyncIterator[tuple[RedisStore, Table[bytes, bytes]]]:
    """A store that is open, and its table."""
    patient = {"connect_timeout_s": PATIENCE_S, "read_timeout_s": PATIENCE_S, "write_timeout_s": PATIENCE_S}
    store = RedisStore(StoreOptions(url, **(patient | options)))
    try:
        async with asyncio.timeout(PATIENCE_S):
            await store.open()
            yield store, store.entries(None, None)
    finally:
        await store.close()


async def says(call: Awaitable[object], kind: type[StoreFault] = StoreFault) -> str:
    """What the fault says in which ``call`` ends."""
    with pytest.raises(StoreFault) as raised:
        await call
    assert type(raised.value) is kind
    return str(raised.value)


async def unopened(url: str, connect_timeout_s: float = 5.0) -> str:
    """What the fault of opening it says."""
    store = RedisStore(StoreOptions(url, connect_timeout_s=connect_timeout_s))
    text = await says(store.open())
    await store.close()
    return text


async def again(call: Callable[[], Awaitable[object]]) -> object:
    """The answer of ``call`` as soon as it has one, as the chain would come by it."""
    while True:
        with suppress(StoreFault):
            return await call()
        await asyncio.sleep(0.001)


async def given_up(call: Awaitable[object], after_s: float) -> None:
    """A caller of ``call`` that has no more patience than this."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(after_s):
            await call
