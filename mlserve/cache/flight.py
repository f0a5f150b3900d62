"""One computation per key at a time: who asks for a row that is being computed waits for that same run.

A flight computes a group of keys in one call of the ``Predict`` behind it, and owns the task that does. Waiters hold
no more than an interest: one that leaves, or whose deadline passes, harms nobody. When the last has left, the flight's
context says so, and rows that have not begun to run are dropped; a row that already runs finishes and is stored.
Errors go to the waiters and are never stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from mlserve.cache.payload import encode
from mlserve.errors import DeadlineExceeded
from mlserve.types import Context, Predict, Rows

Store = Callable[[Sequence[bytes], Sequence[bytes]], None]
"""Given keys and payloads as soon as they are known."""


class Flight:
    """One run in progress, for ``keys`` in the order of its rows."""

    def __init__(self, keys: Sequence[bytes], rows: Rows, context: Context, predict: Predict, store: Store) -> None:
        self.keys = keys
        self.context = context
        self._waiters = 0
        self._task = asyncio.create_task(self._compute(rows, predict, store), name="flight")
        self._task.add_done_callback(_retrieve)

    async def wait(self, deadline: float) -> tuple[Rows, Sequence[bytes]]:
        """The answer's rows and payloads, or the error of the run, or ``DeadlineExceeded``."""
        self._waiters += 1
        self.context.abandoned = False
        self.context.deadline = max(self.context.deadline, deadline)
        limit = asyncio.timeout_at(deadline)
        try:
            async with limit:
                return await asyncio.shield(self._task)
        except TimeoutError:
            raise DeadlineExceeded("no answer before the deadline") from None
        finally:
            self._waiters -= 1
            if not self._waiters:
                self.context.abandoned = True

    def when_done(self, callback: Callable[[Flight], None]) -> None:
        """``callback`` is called with this flight when it has landed, well or not."""
        self._task.add_done_callback(lambda _: callback(self))

    async def landed(self) -> None:
        """Until the run has ended, however; for closing."""
        await asyncio.wait([self._task])

    async def _compute(self, rows: Rows, predict: Predict, store: Store) -> tuple[Rows, Sequence[bytes]]:
        answer = await predict(rows, self.context)
        payloads = encode(answer)
        store(self.keys, payloads)
        return answer, payloads


def _retrieve(task: asyncio.Task[tuple[Rows, Sequence[bytes]]]) -> None:
    if not task.cancelled():
        task.exception()  # retrieved here, for a flight may outlive its waiters
