"""The one thread of an LMDB store: all that may wait for the disk happens there, one thing after another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


class DiskThread:
    """Used by :class:`~mlserve.stores.lmdb.LmdbStore` from its event loop; :meth:`end` it once.

    A daemon: a call that hangs on a dead disk cannot be ended from outside, and must not keep the process from ending.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        Thread(target=self._work, name=name, daemon=True).start()

    def run(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """What ``call`` returns or raises, once all calls before it have ended.

        Cancelling the future takes the call out of the line; one that has begun goes on to its end.
        """
        outcome: Future[T] = Future()

        def work() -> None:
            if outcome.set_running_or_notify_cancel():
                try:
                    outcome.set_result(call())
                except BaseException as error:  # whoever waits gets it, whatever it is
                    outcome.set_exception(error)

        self._calls.put(work)
        return asyncio.wrap_future(outcome)

    def end(self) -> None:
        """The thread goes when all calls have ended. Does not wait for it."""
        self._calls.put(None)

    def _work(self) -> None:
        while (work := self._calls.get()) is not None:
            work()
            del work  # until the next call comes, it would keep alive what this one held
