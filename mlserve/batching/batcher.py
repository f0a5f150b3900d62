"""A ``Predict`` that joins the rows of requests into batches for the ``Predict`` behind it.

Rows that can share a run (equal dtypes and trailing shapes) wait in one line, first come first served. A batch leaves
at the end of the loop's current step, so that requests which arrived together run together without anyone waiting.
Requests with more rows than a batch may have are split and put together again.

The batcher owns the task of each run. A caller that leaves takes its rows out of the line, or, if they already run,
just does not get the answer. When a batch of several requests fails, each runs again alone, once, and only those that
fail then get the error.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from time import monotonic

import numpy as np

from mlserve.batching.window import BatchPolicy, seconds_to_wait
from mlserve.errors import DeadlineExceeded, NotReady, Overloaded
from mlserve.types import Context, Predict, Rows

QueueObserver = Callable[[float], None]
"""Told the seconds that the rows of a request waited for their run."""


@dataclass(slots=True, eq=False)
class _Waiting:
    rows: Rows
    context: Context
    arrived: float
    answer: asyncio.Future[Rows]


class Batcher:
    """One per deployment. Call it, then :meth:`close` it once its callers have left."""

    def __init__(
        self,
        model_id: str,
        predict: Predict,
        policy: BatchPolicy,
        *,
        observe_queue: QueueObserver = lambda seconds: None,
    ) -> None:
        self._model_id = model_id
        self._predict = predict
        self._policy = policy
        self._observe_queue = observe_queue
        self._lines: dict[Hashable, deque[_Waiting]] = {}
        self._queued_rows = 0
        self._runs: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Handle | None = None
        self._closed = False

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a run."""
        return self._queued_rows

    async def __call__(self, rows: Rows, context: Context) -> Rows:
        """Raises ``Overloaded`` if the line is full, ``DeadlineExceeded``, and what the ``Predict`` behind raises."""
        if self._closed:
            raise NotReady(f"{self._model_id} is closing")
        if self._queued_rows and self._queued_rows + rows.count > self._policy.max_queued_rows:
            raise Overloaded(
                f"{self._model_id} has {self._queued_rows} rows waiting; its limit is {self._policy.max_queued_rows}"
            )
        pieces = [
            self._enqueue(rows if rows.count <= self._policy.max_rows else rows.take(piece), context)
            for piece in self._pieces(rows.count)
        ]
        self._schedule()
        try:
            async with asyncio.timeout_at(context.deadline):
                answers = [await piece.answer for piece in pieces]
        except TimeoutError:
            raise DeadlineExceeded(f"{self._model_id} did not answer before the deadline") from None
        finally:
            for piece in pieces:
                self._forget(piece)
        return answers[0] if len(answers) == 1 else _joined(answers)

    async def close(self) -> None:
        """Refuses new rows, fails those in line, waits for the runs in progress."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for line in self._lines.values():
            for waiting in line:
                if not waiting.answer.done():
                    waiting.answer.set_exception(NotReady(f"{self._model_id} is closing"))
        self._lines.clear()
        self._queued_rows = 0
        if self._runs:
            await asyncio.wait(self._runs)

    def _pieces(self, count: int) -> Sequence[slice]:
        size = self._policy.max_rows
        return [slice(start, min(start + size, count)) for start in range(0, count, size)] or [slice(0, 0)]

    def _enqueue(self, rows: Rows, context: Context) -> _Waiting:
        waiting = _Waiting(rows, context, monotonic(), asyncio.get_running_loop().create_future())
        self._lines.setdefault(_kind(rows), deque()).append(waiting)
        self._queued_rows += rows.count
        return waiting

    def _forget(self, waiting: _Waiting) -> None:
        """The caller has gone, or has its answer: rows still in line are dropped when their turn comes."""
        if not waiting.answer.done():
            waiting.answer.cancel()
        elif not waiting.answer.cancelled():
            waiting.answer.exception()  # retrieved, whether or not anybody waited for this piece

    def _schedule(self) -> None:
        if self._timer is not None or self._closed:
            return
        oldest = min((line[0].arrived for line in self._lines.values()), default=0.0)
        delay = seconds_to_wait(
            self._policy,
            queued_rows=self._queued_rows,
            oldest_age_s=monotonic() - oldest,
            runs=len(self._runs),
        )
        if delay is None:
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(delay, self._flush) if delay else loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._timer = None
        batch = self._next_batch()
        if batch:
            run = asyncio.get_running_loop().create_task(self._run(batch), name=f"batch {self._model_id}")
            self._runs.add(run)
            run.add_done_callback(self._ended)
        self._schedule()

    def _ended(self, run: asyncio.Task[None]) -> None:
        self._runs.discard(run)
        self._schedule()

    def _next_batch(self) -> list[_Waiting]:
        """The oldest row's line, as far as a batch goes; rows whose caller left or whose time is up are dropped."""
        batch: list[_Waiting] = []
        rows = 0
        now = monotonic()
        while self._lines and not batch:
            kind, line = min(self._lines.items(), key=lambda item: item[1][0].arrived)
            while line and rows + line[0].rows.count <= self._policy.max_rows:
                waiting = line.popleft()
                self._queued_rows -= waiting.rows.count
                if waiting.context.deadline <= now or waiting.context.abandoned:
                    _fail(waiting, DeadlineExceeded("dropped before it ran: nobody waits for it any more"))
                if waiting.answer.done():
                    continue
                batch.append(waiting)
                rows += waiting.rows.count
            if not line:
                del self._lines[kind]
        return batch

    async def _run(self, batch: list[_Waiting]) -> None:
        now = monotonic()
        for waiting in batch:
            self._observe_queue(now - waiting.arrived)
        try:
            await self._answer(batch)
        except Exception as error:
            if len(batch) == 1:
                _fail(batch[0], error)
                return
            for waiting in batch:
                if not waiting.answer.done():
                    try:
                        await self._answer([waiting])
                    except Exception as own:
                        _fail(waiting, own)

    async def _answer(self, batch: list[_Waiting]) -> None:
        rows = batch[0].rows if len(batch) == 1 else _joined([waiting.rows for waiting in batch])
        latest = max(waiting.context.deadline for waiting in batch)
        request_id = batch[0].context.request_id if len(batch) == 1 else ""
        answer = await self._predict(rows, Context(deadline=latest, request_id=request_id))
        start = 0
        for waiting in batch:
            end = start + waiting.rows.count
            if not waiting.answer.done():
                whole = len(batch) == 1
                waiting.answer.set_result(answer if whole else answer.take(slice(start, end)))
            start = end


def _kind(rows: Rows) -> Hashable:
    """Rows of one kind can share a run."""
    return tuple((column.dtype, column.shape[1:]) for column in rows.columns.values())


def _joined(parts: Sequence[Rows]) -> Rows:
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    return Rows(columns, sum(part.count for part in parts))


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)
