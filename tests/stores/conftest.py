"""Every kind of store that :mod:`tests.stores.test_contract` holds to the contract.

To add one: a class like those here (:class:`~tests.support.store_ground.Ground`), a context manager that makes what it
stands on (a server, a folder), and its row in ``GROUNDS`` under a name of the registry.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import pytest

from mlserve.contracts.store import MAX_VALUE_BYTES, Store, StoreFault, StoreOptions, Table
from mlserve.stores.aerospike import AerospikeStore
from mlserve.stores.lmdb import LmdbStore
from mlserve.stores.memory import MemoryStore
from mlserve.stores.redis import RedisStore
from tests.support.aerospike_double import AerospikeDouble, aerospike_double
from tests.support.redis_server import RedisServer, redis_server
from tests.support.store_ground import Ground


@dataclass(frozen=True, slots=True)
class LmdbGround:
    folder: Path

    def store(self) -> Store:
        return LmdbStore(StoreOptions(url=f"lmdb:{self.folder}?size_mb=32"))

    @asynccontextmanager
    async def out_of_order(self) -> AsyncIterator[None]:
        self.folder.write_text("a file where the folder should be")
        yield
        self.folder.unlink()


@asynccontextmanager
async def lmdb_ground(tmp_path: Path) -> AsyncIterator[Ground]:
    yield LmdbGround(tmp_path / "lmdb")


@dataclass(frozen=True, slots=True)
class AerospikeGround:
    double: AerospikeDouble

    def store(self) -> Store:
        return AerospikeStore(StoreOptions(f"{self.double.url}/test", read_timeout_s=5.0, write_timeout_s=5.0))

    @asynccontextmanager
    async def out_of_order(self) -> AsyncIterator[None]:
        await asyncio.to_thread(self.double.stop)
        yield
        self.double.start()


@asynccontextmanager
async def aerospike_ground(tmp_path: Path) -> AsyncIterator[Ground]:
    with aerospike_double() as double:
        yield AerospikeGround(double)


class MemoryDriver:
    """A memory tier behind the calls of a store, so that the laws of values are the same for it."""

    name: ClassVar[str] = "memory"
    at_once: ClassVar[bool] = True
    parallel_reads: ClassVar[int] = 1

    def __init__(self, ground: MemoryGround) -> None:
        self._ground = ground
        self._memory: MemoryStore | None = None

    async def open(self) -> None:
        if self._ground.broken:
            raise StoreFault("out of order")
        self._memory = MemoryStore(MAX_VALUE_BYTES)

    async def check(self) -> None:
        self._opened()

    def entries(self, namespace: str | None, dataset: str | None) -> Table[bytes, bytes]:
        return self

    async def get_many(self, names: Sequence[bytes]) -> list[bytes | None]:
        memory = self._opened()
        return [memory.get(name) for name in names]

    async def put_many(self, items: Sequence[tuple[bytes, bytes, float]]) -> None:
        memory = self._opened()
        for name, value, life_s in items:
            memory.put(name, value, life_s)

    async def close(self) -> None:
        self._memory = None

    def _opened(self) -> MemoryStore:
        if self._memory is None:
            raise StoreFault("not open")
        return self._memory


@dataclass(slots=True)
class MemoryGround:
    broken: bool = False

    def store(self) -> Store:
        return MemoryDriver(self)  # type: ignore[return-value]  # a store is made from options, this from its ground

    @asynccontextmanager
    async def out_of_order(self) -> AsyncIterator[None]:
        self.broken = True
        yield
        self.broken = False


@asynccontextmanager
async def memory_ground(tmp_path: Path) -> AsyncIterator[Ground]:
    yield MemoryGround()


@dataclass(frozen=True, slots=True)
class RedisGround:
    server: RedisServer
    url: str

    def store(self) -> Store:
        return RedisStore(StoreOptions(self.url, connect_timeout_s=5.0, read_timeout_s=5.0, write_timeout_s=5.0))

    @asynccontextmanager
    async def out_of_order(self) -> AsyncIterator[None]:
        self.server.kill()
        yield
        self.server.start()


@asynccontextmanager
async def redis_ground(tmp_path: Path) -> AsyncIterator[Ground]:
    with redis_server() as server:
        yield RedisGround(server, server.url)


@asynccontextmanager
async def rediss_ground(tmp_path: Path) -> AsyncIterator[Ground]:
    with redis_server(tls=True) as server:
        yield RedisGround(server, server.url)


@asynccontextmanager
async def unix_ground(tmp_path: Path) -> AsyncIterator[Ground]:
    with redis_server(password="pass/wörd") as server:
        yield RedisGround(server, server.unix_url)


GROUNDS: Final[dict[str, Callable[[Path], AbstractAsyncContextManager[Ground]]]] = {
    "aerospike": aerospike_ground,
    "lmdb": lmdb_ground,
    "memory": memory_ground,
    "redis": redis_ground,
    "rediss": rediss_ground,
    "unix": unix_ground,
}


@pytest.fixture(scope="session")
def grounds() -> frozenset[str]:
    """The names of all rows."""
    return frozenset(GROUNDS)


@pytest.fixture(params=sorted(GROUNDS))
async def ground(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ground]:
    """One after the other, each of :data:`GROUNDS`."""
    async with GROUNDS[request.param](tmp_path) as made:
        yield made


@pytest.fixture
async def store(ground: Ground) -> AsyncIterator[Store]:
    """An open store on ``ground``."""
    opened = ground.store()
    await opened.open()
    yield opened
    await opened.close()
