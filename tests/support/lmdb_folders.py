"""LMDB stores on a folder of a test: opened, filled, held up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from mlserve.contracts.store import StoreOptions
from mlserve.stores.lmdb import LmdbStore

LIFE_S: Final = 3600.0
SIZE_MB: Final = 8
"""The least there is, so that little fills it."""
NAMES: Final = [b"%d" % number for number in range(300)]


class Clock:
    """Unix time that moves only when a test moves it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def made(folder: Path, clock: Clock | None = None) -> LmdbStore:
    """Not open yet."""
    return LmdbStore(StoreOptions(url=f"lmdb:{folder}?size_mb={SIZE_MB}"), clock=clock or Clock())


@asynccontextmanager
async def opened(folder: Path, clock: Clock | None = None) -> AsyncIterator[LmdbStore]:
    """Open inside, closed after."""
    store = made(folder, clock)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


async def put(store: LmdbStore, name: bytes, value: bytes, life_s: float = LIFE_S) -> None:
    await store.put_many([(name, value, life_s)])


async def get(store: LmdbStore, name: bytes) -> bytes | None:
    (value,) = await store.get_many([name])
    return value


def halves(folder: Path) -> list[str]:
    """The names of the halves that are there, the older first."""
    return sorted(path.name for path in folder.glob("segment-*"))


async def turned(store: LmdbStore, folder: Path) -> None:
    """Writes what nobody asks for until a new half has begun."""
    before = halves(folder)[-1]
    number = 0
    while halves(folder)[-1] == before:
        await store.put_many([(b"filler %d" % n, b"z" * 10_000, LIFE_S) for n in range(number, number + 20)])
        number += 20


@asynccontextmanager
async def held_up(store: LmdbStore) -> AsyncIterator[None]:
    """Inside, the store's thread does nothing, as with a disk that hangs."""
    begun, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        go_on.wait()

    assert store._thread is not None
    hanging = store._thread.run(hang)
    try:
        while not begun.is_set():
            await asyncio.sleep(0)
        yield
    finally:
        go_on.set()
    await hanging
