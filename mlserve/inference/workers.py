"""A bounded thread pool whose callers may leave at any time: what keeps slow code off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mlserve.errors import DeadlineExceeded, NotReady, Overloaded

T = TypeVar("T")


@dataclass(slots=True)
class _Job(Generic[T]):
    """``call`` is emptied when its caller leaves: a job that has not begun by then never does."""

    call: Callable[[], T] | None


class Workers:
    """Threads of one version, for its model or for its transformer; ``name`` says whose, in errors.

    ``max_queued_rows`` bounds the rows handed over and not yet done, those whose callers have left included: a thread
    cannot be stopped, so code that hangs fills this bound, and then callers are told at once. One request may be
    larger than the bound when nothing else is there. ``on_pending`` is told by how many rows that number moves.
    """

    def __init__(
        self,
        name: str,
        *,
        threads: int,
        max_queued_rows: int,
        on_pending: Callable[[int], None] = lambda change: None,
    ) -> None:
        self._name = name
        self._on_pending = on_pending
        self._max_queued_rows = max_queued_rows
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._jobs: dict[asyncio.Future[Any], int] = {}
        self._pending_rows = 0
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def pending_rows(self) -> int:
        """Rows handed to the threads and not yet done, whether or not somebody still waits for them."""
        return self._pending_rows

    @property
    def pending_calls(self) -> int:
        """As :attr:`pending_rows`, each call counting once."""
        return len(self._jobs)

    async def run(self, call: Callable[[], T], rows: int, deadline: float) -> T:
        """What ``call`` answers or raises; it must raise nothing but :class:`~mlserve.errors.RequestError`.

        Raises ``Overloaded``, ``DeadlineExceeded``, and ``NotReady`` after :meth:`close`. A caller that leaves, or
        whose deadline passes, harms nobody: what already runs is finished, what does not is dropped.
        """
        if self._closed:
            raise NotReady(f"{self._name} is closing")
        if asyncio.get_running_loop().time() >= deadline:
            raise DeadlineExceeded(f"the deadline passed before {self._name} began")
        if self._pending_rows and self._pending_rows + rows > self._max_queued_rows:
            raise Overloaded(
                f"{self._name} has {self._pending_rows} rows waiting; its limit is {self._max_queued_rows}"
            )
        job = _Job(call)
        done = asyncio.wrap_future(self._pool.submit(self._work, job))
        self._jobs[done] = rows
        self._move(rows)
        done.add_done_callback(self._settle)
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(done)
        except TimeoutError:
            raise DeadlineExceeded(f"{self._name} did not answer before the deadline") from None
        finally:
            job.call = None

    async def close(self, release: Callable[[], None] = lambda: None) -> None:
        """Waits for calls that outlived their callers, then runs ``release`` in a thread. Queued ones get NotReady."""
        self._closed = True
        while self._jobs:
            await asyncio.wait(self._jobs)
        await asyncio.to_thread(self._shut, release)

    def _work(self, job: _Job[T]) -> T:
        call = job.call
        if call is None or self._closed:
            raise NotReady(f"{self._name} is closing")
        return call()

    def _settle(self, done: asyncio.Future[Any]) -> None:
        self._move(-self._jobs.pop(done))
        if not done.cancelled():
            done.exception()  # nobody may be left to look at it

    def _move(self, change: int) -> None:
        self._pending_rows += change
        self._on_pending(change)

    def _shut(self, release: Callable[[], None]) -> None:
        self._pool.shutdown(wait=True)
        release()
