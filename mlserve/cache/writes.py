"""Writes in the background, in few round trips: no request waits for one, and a store that is down holds up nobody.

The line is bounded in entries and in bytes; when it is full the oldest go, and are counted. What is in line can be read
already, so that an answer is never computed twice because it was not written yet.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from time import monotonic, perf_counter
from typing import Final, Generic, NamedTuple, TypeVar

from mlserve.cache.ending import end
from mlserve.contracts.store import StoreFault, StoreRefused

logger = logging.getLogger(__name__)

MAX_ENTRIES: Final = 20_000
MAX_BYTES: Final = 16 * 1024 * 1024
ENTRIES_PER_WRITE: Final = 512
LINGER_S: Final = 0.01
"""How long a write waits for others to go with it: a round trip or a transaction costs more than the entries in it."""
BYTES_PER_WRITE: Final = 2 * 1024 * 1024
FIRST_REST_S: Final = 0.1
LONGEST_REST_S: Final = 10.0
ENTRY_COST: Final = 200
"""Bytes that an entry in line takes besides name and value."""

N = TypeVar("N")
V = TypeVar("V")

Took = Callable[[float], None]
"""Told the seconds of a round trip that wrote an entry of yours."""


@dataclass(slots=True)
class WriteCounts:
    """What became of entries, since the start. ``dropped``: for want of room, or because the store refused them."""

    written: int = 0
    dropped: int = 0


class _Waiting(NamedTuple, Generic[V]):
    value: V
    ends_at: float
    size: int
    took: Took


class Writes(Generic[N, V]):
    """``write`` is one round trip; ``ready`` returns when the store may be asked. :meth:`close` it once.

    ``label`` names it in the log. ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self,
        write: Callable[[Sequence[tuple[N, V, float]]], Awaitable[None]],
        ready: Callable[[], Awaitable[object]],
        *,
        label: str,
        counts: WriteCounts,
        timeout_s: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.counts = counts
        self.arrivals = 0
        """Entries that came into line, ever."""
        self._write = write
        self._ready = ready
        self._label = label
        self._timeout_s = timeout_s
        self._clock = clock
        self._line: dict[N, _Waiting[V]] = {}
        self._under_way: dict[N, _Waiting[V]] = {}
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._hurried = asyncio.Event()
        """Set while somebody waits for all to be written."""
        self._failed = False
        """The write before failed."""
        self._told = False
        self._rest_s = FIRST_REST_S
        self._closed = False

    def __len__(self) -> int:
        return len(self._line) + len(self._under_way)

    def put(self, name: N, value: V, life_s: float, size: int, took: Took) -> None:
        """Have ``value`` of ``size`` bytes stored for ``life_s`` seconds, in place of what is under ``name``."""
        size += ENTRY_COST
        if self._closed or size > MAX_BYTES:
            self.counts.dropped += 1
            return
        self.arrivals += 1
        self._take_out(name)
        self._line[name] = _Waiting(value, self._clock() + life_s, size, took)
        self._bytes += size
        if self._bytes > MAX_BYTES or len(self._line) > MAX_ENTRIES:
            self._trim()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work_off(), name=f"cache writes {self._label}")

    def get(self, name: N) -> V | None:
        """What is in line under ``name``."""
        waiting = self._line.get(name) or self._under_way.get(name)
        return None if waiting is None else waiting.value

    async def flush(self, timeout_s: float) -> None:
        """Has all that is in line written now. Returns when that is done, or after ``timeout_s``."""
        if self._task is not None:
            self._hurried.set()
            await asyncio.wait([self._task], timeout=timeout_s)

    async def close(self) -> None:
        """Takes nothing more, and drops what is in line: flush first."""
        self._closed = True
        if self._task is not None:
            await end([self._task], self._label)
        self.counts.dropped += len(self)
        self._line.clear()
        self._under_way.clear()
        self._bytes = 0

    async def _work_off(self) -> None:
        while self._line:
            if len(self._line) < ENTRIES_PER_WRITE:
                await self._linger()
            await self._ready()
            items = self._next()
            if not items:
                continue
            start = perf_counter()
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._write(items)
            except Exception as error:
                self._not_written(error)
                await asyncio.sleep(self._rest_s)
                self._rest_s = min(self._rest_s * 2, LONGEST_REST_S)
                continue
            self._rest_s = FIRST_REST_S
            self._done(perf_counter() - start)
        self._hurried.clear()

    async def _linger(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await self._hurried.wait()

    def _next(self) -> list[tuple[N, V, float]]:
        now = self._clock()
        size = 0
        for name in list(islice(self._line, ENTRIES_PER_WRITE)):
            waiting = self._line[name]
            if self._under_way and size + waiting.size > BYTES_PER_WRITE:
                break
            self._take_out(name)
            if waiting.ends_at > now:
                self._under_way[name] = waiting
                size += waiting.size
        return [(name, waiting.value, waiting.ends_at - now) for name, waiting in self._under_way.items()]

    def _done(self, seconds: float) -> None:
        for took in {waiting.took for waiting in self._under_way.values()}:
            took(seconds)
        self.counts.written += len(self._under_way)
        self._under_way.clear()
        self._failed = False
        if self._told:
            self._told = False
            logger.info("%s takes writes again", self._label)

    def _not_written(self, error: Exception) -> None:
        """What the store refused goes; what it may never have seen stays in line, as the oldest."""
        if isinstance(error, StoreRefused):
            self.counts.dropped += len(self._under_way)
        else:
            self._put_back()
        self._under_way.clear()
        if not isinstance(error, (StoreFault, TimeoutError)):
            logger.error("%s: unexpected failure of a write", self._label, exc_info=error)
        # One failure is mostly a connection that breaks, of which those who read tell; we wait then until it is up.
        if not self._told and (self._failed or isinstance(error, StoreRefused)):
            self._told = True
            reason = "no answer in time" if isinstance(error, TimeoutError) else str(error)
            logger.warning("%s does not take writes: %s; new answers are not shared", self._label, reason)
        self._failed = True

    def _put_back(self) -> None:
        newer, self._line, self._bytes = self._line, {}, 0
        for name, waiting in {**self._under_way, **newer}.items():
            self._line[name] = waiting
            self._bytes += waiting.size
        self._trim()

    def _trim(self) -> None:
        while self._bytes > MAX_BYTES or len(self._line) > MAX_ENTRIES:
            self._take_out(next(iter(self._line)))
            self.counts.dropped += 1

    def _take_out(self, name: N) -> None:
        waiting = self._line.pop(name, None)
        if waiting is not None:
            self._bytes -= waiting.size
