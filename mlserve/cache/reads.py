"""Reads of many requests joined into few: while round trips are under way, names gather for the next.

A read that finds none under way goes at once, in its caller's own step: a task for it would cost as much as the rest.
All others belong to tasks of ours, so a caller that leaves, or waits no longer, spoils nobody's answer; a name that
several of them ask for is asked for once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from mlserve.cache.ending import end
from mlserve.cache.patience import Patience, Patient
from mlserve.contracts.store import StoreFault

NAMES_PER_READ: Final = 4_096
"""Whole requests are joined up to about this many names."""
MAX_WAITING: Final = 200_000
"""Names in line; a request that comes on top of them does without."""
CLOSED: Final = "the connection was closed"

N = TypeVar("N")
V = TypeVar("V")


class Told(Protocol):
    """Hears how round trips went: the breaker."""

    def succeeded(self) -> None: ...

    def failed(self, error: Exception) -> None: ...


class _Wish(Generic[N, V]):
    """One caller's names and what it waits on."""

    __slots__ = ("names", "values")

    def __init__(self, names: Sequence[N]) -> None:
        self.names = names
        self.values: asyncio.Future[list[V | None]] = asyncio.get_running_loop().create_future()

    def give(self, values: list[V | None]) -> None:
        if not self.values.done():
            self.values.set_result(values)

    def refuse(self, error: Exception) -> None:
        if not self.values.done():
            self.values.set_exception(error)


class Reads(Generic[N, V]):
    """``fetch`` is one round trip, and answers as many values as it is given names. :meth:`close` it once.

    ``label`` names it in the log.
    """

    def __init__(
        self,
        fetch: Callable[[Sequence[N]], Awaitable[Sequence[V | None]]],
        told: Told,
        *,
        label: str,
        timeout_s: float,
        parallel: int,
    ) -> None:
        self._fetch = fetch
        self._told = told
        self._label = label
        self._timeout_s = timeout_s
        self._parallel = parallel
        self._line: list[_Wish[N, V]] = []
        self._waiting = 0
        self._busy = 0
        """Reads alone, and tasks: those that will look at the line again. One that is about to end is in ``_tasks``
        and not here."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._alone: set[Patient] = set()
        """Reads that are under way in the steps of their callers."""
        self._closed = False

    async def get(self, names: Sequence[N], wait_s: float) -> list[V | None]:
        """What is under ``names``. Waits ``timeout_s`` at most, and ``wait_s`` if that is less.

        Raises what ``fetch`` raises, :class:`TimeoutError`, and :class:`StoreFault` if closed or the line is full.
        """
        if self._closed:
            raise StoreFault(CLOSED)
        if self._waiting + len(names) > MAX_WAITING:
            raise StoreFault(f"{self._waiting} names are waiting to be read already")
        if not self._busy and wait_s >= self._timeout_s:
            return await self._read_alone(names)
        wish: _Wish[N, V] = _Wish(names)
        self._line.append(wish)
        self._waiting += len(names)
        if self._busy < self._parallel:
            self._start()
        patience = Patience(min(wait_s, self._timeout_s), lambda: wish.refuse(TimeoutError()))
        try:
            return await wish.values
        finally:
            patience.end()

    async def close(self) -> None:
        """Ends what is under way and what is in line; those who wait for it get a :class:`StoreFault`."""
        self._closed = True
        # A task that is cancelled before its first step never looks at the line.
        waiting, self._line = self._line, []
        _refuse(waiting, StoreFault(CLOSED))
        for patience in self._alone:
            patience.give_up()
        await end(self._tasks, self._label)

    async def _read_alone(self, names: Sequence[N]) -> list[V | None]:
        """A caller that leaves takes its read along, and says nothing of the store."""
        patience = Patient(self._timeout_s)
        self._alone.add(patience)
        self._busy += 1
        try:
            async with patience:
                values = await self._fetch(names)
        except Exception as error:
            if self._closed:
                raise StoreFault(CLOSED) from error
            self._told.failed(error)
            raise
        finally:
            self._alone.discard(patience)
            self._busy -= 1
            if self._line:
                self._start()
        self._told.succeeded()
        return list(values)

    def _start(self) -> None:
        """Have the line worked off."""
        self._busy += 1
        task = asyncio.create_task(self._work_off(), name="cache reads")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work_off(self) -> None:
        try:
            while self._line:
                wishes = self._next()
                if wishes:
                    await self._read(wishes)
        finally:
            self._busy -= 1

    def _next(self) -> list[_Wish[N, V]]:
        """The head of the line, without those who have left it."""
        taken, size = 0, 0
        for wish in self._line:
            if taken and size + len(wish.names) > NAMES_PER_READ:
                break
            taken += 1
            size += len(wish.names)
        wishes = self._line[:taken]
        del self._line[:taken]
        self._waiting -= size
        return [wish for wish in wishes if not wish.values.done()]

    async def _read(self, wishes: list[_Wish[N, V]]) -> None:
        if len(wishes) == 1:
            names: Sequence[N] = wishes[0].names
        else:
            names = list(dict.fromkeys(name for wish in wishes for name in wish.names))
        try:
            async with Patient(self._timeout_s):
                values = await self._fetch(names)
        except asyncio.CancelledError:
            _refuse(wishes, StoreFault(CLOSED))
            raise
        except Exception as error:  # whatever it is, those who wait must hear of it
            self._told.failed(error)
            _refuse(wishes, error)
            return
        self._told.succeeded()
        if len(wishes) == 1:
            wishes[0].give(list(values))
            return
        found = dict(zip(names, values, strict=True))
        for wish in wishes:
            wish.give([found[name] for name in wish.names])


def _refuse(wishes: list[_Wish[N, V]], error: Exception) -> None:
    for wish in wishes:
        wish.refuse(error)
