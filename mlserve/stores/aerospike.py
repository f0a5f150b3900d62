"""Entries and typed records in Aerospike, by its official client.

The client blocks, so its calls run in a few threads of ours, each ended by the client's own timeout: a caller may leave
at any time. A record of entries has one bin; those of :meth:`AerospikeStore.records` are as mly's clients write them.
Needs a server of 6.0 or later, for batches of writes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

from mlserve.contracts.place import Place
from mlserve.contracts.store import StoreFault, StoreOptions
from mlserve.errors import MissingPackage
from mlserve.stores.aerospike_address import Address, parse
from mlserve.stores.aerospike_bins import MAX_NAMESPACE_BYTES, MAX_SET_BYTES, is_text
from mlserve.stores.aerospike_tables import READERS, Entries, Part, Records

if TYPE_CHECKING:
    from mlserve.stores.aerospike_session import Session

DEFAULT_SET: Final = "mlserve"
"""Where entries lie if the datastore has no ``Dataset``: apart from other records of the namespace."""
WRITERS: Final = 2
"""Apart from the readers: a write may take a second, and nobody waits for it."""
GRACE_S: Final = 0.5
"""For what comes before the client's own timeout: its import, and the name service."""
CLOSED: Final = "the connection is closed"

T = TypeVar("T")


class AerospikeStore:
    """See :class:`mlserve.contracts.store.RecordStore`."""

    name: ClassVar[str] = "aerospike"
    at_once: ClassVar[bool] = False
    parallel_reads: ClassVar[int] = READERS

    def __init__(self, options: StoreOptions) -> None:
        self._options = options
        self._address = parse(options.url)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="aerospike-read")
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="aerospike-write")
        self._attempt: Future[Session] | None = None
        self._session: Session | None = None
        self._namespaces: set[str] = set()
        self._closed = False

    async def open(self) -> None:
        """Connect. An attempt that outlived its caller is joined, not made twice."""
        if self._closed:
            raise StoreFault(CLOSED)
        if self._attempt is None or (self._attempt.done() and self._attempt.exception() is not None):
            self._attempt = self._begin()
        try:
            async with asyncio.timeout(self._options.connect_timeout_s + GRACE_S):
                session = await asyncio.shield(asyncio.wrap_future(self._attempt))
        except TimeoutError:
            raise StoreFault(f"no connection to {self._address} in {self._options.connect_timeout_s:g} s") from None
        except StoreFault as error:
            raise StoreFault(f"no connection to {self._address}: {error}") from error
        if self._closed:
            raise StoreFault(CLOSED)
        self._session = session

    async def check(self) -> None:
        namespaces = sorted(self._namespaces)
        await self._reading(lambda session: session.probe(namespaces))

    def entries(self, namespace: str | None, dataset: str | None) -> Entries:
        return Entries(self._part(namespace, dataset), self._reading, self._writing)

    @staticmethod
    def place(url: str, namespace: str | None, dataset: str | None) -> Place:
        address = parse(url)
        part = _part(address, namespace, dataset)
        return Place(address.hosts, part.namespace, part.dataset)

    def records(self, namespace: str | None, dataset: str | None) -> Records:
        return Records(self._part(namespace, dataset), self._reading, self._writing)

    async def close(self) -> None:
        """Waits for calls under way, whose timeouts bound it; those in line fail."""
        self._closed = True
        await asyncio.to_thread(self._shut)

    def _reading(self, call: Callable[[Session], T]) -> asyncio.Future[T]:
        return self._run(self._readers, call)

    def _writing(self, call: Callable[[Session], T]) -> asyncio.Future[T]:
        return self._run(self._writers, call)

    def _run(self, threads: ThreadPoolExecutor, call: Callable[[Session], T]) -> asyncio.Future[T]:
        """``call`` in a thread; dropped if the future is cancelled before it begins."""
        session = self._session
        if self._closed or session is None:
            raise StoreFault(CLOSED if self._closed else "the connection is not open yet")

        def run() -> T:
            if self._closed:
                raise StoreFault(CLOSED)
            return call(session)

        return asyncio.get_running_loop().run_in_executor(threads, run)

    def _part(self, namespace: str | None, dataset: str | None) -> Part:
        part = _part(self._address, namespace, dataset)
        self._namespaces.add(part.namespace)
        return part

    def _begin(self) -> Future[Session]:
        attempt: Future[Session] = Future()
        # No thread of a pool: a name service that hangs would keep the process from ending.
        thread = threading.Thread(target=self._connect, args=(attempt,), name="aerospike-connect", daemon=True)
        thread.start()
        return attempt

    def _connect(self, attempt: Future[Session]) -> None:
        try:
            from mlserve.stores.aerospike_session import Session

            attempt.set_result(Session(self._address, self._options))
        except ModuleNotFoundError:
            attempt.set_exception(StoreFault(str(MissingPackage("a connection", "aerospike", "aerospike"))))
        except ImportError as error:
            attempt.set_exception(StoreFault(f"the package aerospike cannot be imported: {error}"))
        except Exception as error:
            attempt.set_exception(error)

    def _shut(self) -> None:
        self._readers.shutdown(wait=True)
        self._writers.shutdown(wait=True)
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            # Now, or in the thread that still connects.
            attempt.add_done_callback(_close)


def _part(address: Address, namespace: str | None, dataset: str | None) -> Part:
    namespace, dataset = namespace or address.namespace, dataset or DEFAULT_SET
    if namespace is None:
        raise StoreFault(
            "a datastore in Aerospike needs a Namespace: give it one, or end the URL of its connection with /name"
        )
    for what, name, limit in ("Namespace", namespace, MAX_NAMESPACE_BYTES), ("Dataset", dataset, MAX_SET_BYTES):
        if not is_text(name) or len(name.encode()) > limit:
            raise StoreFault(f"{what} {name!r}: expected text of {limit} bytes at most")
    return Part(namespace, dataset)


def _close(attempt: Future[Session]) -> None:
    if attempt.exception() is None:
        attempt.result().close()
