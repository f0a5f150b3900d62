"""Redis: a cache shared by many processes and machines, on a server of its own (or one that speaks its protocol).

``redis://``, ``rediss://`` and ``unix://``, as :mod:`mlserve.stores.redis_address` reads them. Every entry has its end
(``PX``), so what is not asked for goes by itself; a server that is to be full has to evict besides.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING, ClassVar, Final

from mlserve.contracts.store import StoreFault, StoreOptions, Table
from mlserve.errors import MissingPackage
from mlserve.stores.redis_address import parse

if TYPE_CHECKING:
    from mlserve.stores.redis_link import Link
    from mlserve.stores.redis_pool import Pool
    from mlserve.stores.redis_table import Entries

logger = logging.getLogger(__name__)

READERS: Final = 4
WRITERS: Final = 1
GRACE_S: Final = 1.0
"""The chain gives up sooner; whoever does not has waited for this long beside the configured times."""
CLOSE_S: Final = 2.0
"""Far more than it takes: what was not sent is dropped."""


class RedisStore:
    """Implements :class:`~mlserve.contracts.store.Store`."""

    name: ClassVar[str] = "redis"
    at_once: ClassVar[bool] = False
    parallel_reads: ClassVar[int] = READERS

    def __init__(self, options: StoreOptions) -> None:
        self._options = options
        self._address = parse(options.url)
        self._context: ssl.SSLContext | None = None
        self._pools: list[Pool] = []
        self._entries: Entries | None = None
        self._closed = False

    async def open(self) -> None:
        """Connect, log in and read once. Raises :class:`StoreFault`."""
        if self._entries is None:
            # Imports read the disk, and TLS its certificates.
            self._context = await asyncio.to_thread(self._load)
            if self._closed:
                raise StoreFault("the connection is closed")
            self._entries = self._make()
        await self._entries.probe()

    async def check(self) -> None:
        """One read. A server that loads its data or has forgotten its password does not answer it."""
        await self._opened().probe()

    def entries(self, namespace: str | None, dataset: str | None) -> Table[bytes, bytes]:
        """All of the database: Redis has no parts."""
        return self._opened()

    async def close(self) -> None:
        """Ends all connections and whoever uses one."""
        self._closed = True
        try:
            async with asyncio.timeout(CLOSE_S):
                for pool in self._pools:
                    await pool.close()
        except TimeoutError:
            logger.warning("the connections to %s did not close in %g s", self._address, CLOSE_S)

    def _opened(self) -> Entries:
        if self._entries is None:
            raise StoreFault("the connection is not open yet")
        return self._entries

    def _load(self) -> ssl.SSLContext | None:
        try:
            import hiredis  # noqa: F401
        except ModuleNotFoundError:
            raise StoreFault(str(MissingPackage("a connection", "hiredis", "redis"))) from None
        except ImportError as error:
            raise StoreFault(f"the package hiredis cannot be imported: {error}") from error
        from mlserve.stores import redis_table  # noqa: F401

        return self._address.tls.context() if self._address.tls else None

    def _make(self) -> Entries:
        from mlserve.stores.redis_pool import Pool
        from mlserve.stores.redis_table import Entries

        given = self._options
        grace_s = given.connect_timeout_s + GRACE_S
        reads = Pool(self._connect, READERS, limit_s=grace_s + given.read_timeout_s, worth_s=given.read_timeout_s)
        writes = Pool(self._connect, WRITERS, limit_s=grace_s + given.write_timeout_s)
        self._pools = [reads, writes]
        return Entries(reads, writes)

    async def _connect(self) -> Link:
        from mlserve.stores.redis_connect import connect

        return await connect(self._address, self._context, self._options.connect_timeout_s)
