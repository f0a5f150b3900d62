"""A ``Predict`` that joins the rows of requests into batches for the ``Predict`` behind it.

Rows that can share a run (equal dtypes and trailing shapes) wait in one line, first come first served. A batch leaves
at the end of the loop's current step, so that requests which arrived together run together without anyone waiting.
Requests with more rows than a batch may have are split and put together again.

The batcher owns the task of each run. A caller that leaves takes its rows out of the line, or, if they already run,
just does not get the answer: what has begun is finished. When a batch of several requests fails, each runs again
alone, once, and only those that fail then get the error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from math import ceil, inf
from time import monotonic

from mlserve.batching.line import Line, Piece, Request, joined, kind_of
from mlserve.batching.window import BatchPolicy, seconds_to_wait
from mlserve.contracts.batching import BatchState
from mlserve.errors import DeadlineExceeded, NotReady, Overloaded
from mlserve.types import Context, Predict, Rows

QueueObserver = Callable[[float], None]
"""Told the seconds that the rows of a request waited for their run."""


class Batcher:
    """One per deployment. Call it, then :meth:`close` it once its callers have left.

    ``clock`` tells the time that deadlines are counted in. The loop's timers are told in whole milliseconds, rounded
    up, for no loop knows finer ones: a shorter window would be asked for again and again.
    """

    def __init__(
        self,
        model_id: str,
        predict: Predict,
        policy: BatchPolicy,
        *,
        observe_queue: QueueObserver = lambda seconds: None,
        on_queued: Callable[[int], None] = lambda change: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._model_id = model_id
        self._predict = predict
        self._policy = policy
        self._observe_queue = observe_queue
        self._on_queued = on_queued
        self._clock = clock
        self._lines: dict[Hashable, Line] = {}
        self._queued_rows = 0
        self._runs: set[asyncio.Task[None]] = set()
        self._flush_soon: asyncio.Handle | None = None
        self._window: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a run; ``on_queued`` is told of each change."""
        return self._queued_rows

    def state(self) -> BatchState:
        """As it is now."""
        runs, policy = len(self._runs), self._policy
        waiting = sum(ceil(line.rows / policy.max_rows) for line in self._lines.values())
        return BatchState(runs, waiting, self._queued_rows >= policy.max_queued_rows, policy.window_s(runs))

    async def __call__(self, rows: Rows, context: Context) -> Rows:
        """Raises ``Overloaded`` if the line is full, ``DeadlineExceeded``, and what the ``Predict`` behind raises."""
        if self._closed:
            raise NotReady(f"{self._model_id} is closing")
        if not rows.count:
            return await self._predict(rows, context)
        now = self._clock()
        if context.deadline <= now:
            raise DeadlineExceeded(f"the deadline passed before {self._model_id} began")
        if self._queued_rows and self._queued_rows + rows.count > self._policy.max_queued_rows:
            raise Overloaded(
                f"{self._model_id} has {self._queued_rows} rows waiting; its limit is {self._policy.max_queued_rows}"
            )
        loop = asyncio.get_running_loop()
        pieces = self._split(rows)
        request = Request(context, now, loop.create_future(), [None] * len(pieces), len(pieces))
        line = self._line_for(rows)
        waiting = [Piece(piece, request, index) for index, piece in enumerate(pieces)]
        for piece in waiting:
            line.add(piece)
        self._queue(rows.count)
        self._schedule()
        timer = loop.call_at(context.deadline, self._expire, request)
        try:
            await request.done
        except BaseException:
            self._withdraw(line, waiting)
            raise
        finally:
            timer.cancel()
        return joined([answer for answer in request.answers if answer is not None])

    async def close(self) -> None:
        """Refuses new rows, fails those in line, waits for the runs in progress."""
        self._closed = True
        for handle in (self._flush_soon, self._window):
            if handle is not None:
                handle.cancel()
        for line in self._lines.values():
            for piece in line.pieces:
                piece.request.fail(NotReady(f"{self._model_id} is closing"))
        self._lines.clear()
        self._queue(-self._queued_rows)
        if self._runs:
            await asyncio.wait(self._runs)

    def _queue(self, change: int) -> None:
        self._queued_rows += change
        self._on_queued(change)

    def _split(self, rows: Rows) -> Sequence[Rows]:
        size = self._policy.max_rows
        if rows.count <= size:
            return (rows,)
        return [rows.take(slice(start, min(start + size, rows.count))) for start in range(0, rows.count, size)]

    def _line_for(self, rows: Rows) -> Line:
        kind = kind_of(rows)
        line = self._lines.get(kind)
        if line is None:
            line = self._lines[kind] = Line(kind)
        return line

    def _expire(self, request: Request) -> None:
        request.fail(DeadlineExceeded(f"{self._model_id} did not answer before the deadline"))

    def _withdraw(self, line: Line, pieces: Sequence[Piece]) -> None:
        """The caller has gone, or has its error: what still stands in line leaves it, and its room is free at once."""
        if self._closed:
            return
        for piece in pieces:
            self._take_out(line, piece)

    def _take_out(self, line: Line, piece: Piece) -> None:
        if line.remove(piece):
            self._queue(-piece.rows.count)
            if not line.pieces:
                del self._lines[line.kind]

    def _schedule(self) -> None:
        """Called whenever a line or the number of runs has changed."""
        if self._flush_soon is not None or self._closed or not self._lines or len(self._runs) >= self._policy.max_runs:
            return
        delay, _ = self._next_line()
        if self._window is not None:
            self._window.cancel()
            self._window = None
        loop = asyncio.get_running_loop()
        if delay == 0.0:
            self._flush_soon = loop.call_soon(self._flush)
        else:
            self._window = loop.call_later(ceil(delay * 1000 - 0.001) / 1000, self._flush)

    def _next_line(self) -> tuple[float, Line]:
        """The line that goes first and the seconds until it does; of those that may go now, that of the oldest row."""
        if not self._policy.wait_s and not self._policy.increment_max:
            return 0.0, min(self._lines.values(), key=lambda line: line.first.request.arrived)
        now, runs = self._clock(), len(self._runs)

        def turn(line: Line) -> tuple[float, float]:
            arrived = line.first.request.arrived
            delay = seconds_to_wait(self._policy, rows=line.rows, oldest_age_s=now - arrived, runs=runs)
            return inf if delay is None else delay, arrived

        line = min(self._lines.values(), key=turn)
        return turn(line)[0], line

    def _flush(self) -> None:
        self._flush_soon = self._window = None
        while self._lines and len(self._runs) < self._policy.max_runs:
            delay, line = self._next_line()
            if delay:
                break
            batch = self._next_batch(line)
            if batch:
                run = asyncio.get_running_loop().create_task(self._run(batch), name=f"batch {self._model_id}")
                self._runs.add(run)
                run.add_done_callback(self._ended)
        self._schedule()

    def _ended(self, run: asyncio.Task[None]) -> None:
        self._runs.discard(run)
        self._schedule()

    def _next_batch(self, line: Line) -> list[Piece]:
        """The front of ``line`` as far as a batch goes; rows whose caller left or whose time is up are dropped."""
        batch: list[Piece] = []
        rows = 0
        now = self._clock()
        while line.pieces:
            piece = line.first
            if rows + piece.rows.count > self._policy.max_rows:
                break
            self._take_out(line, piece)
            request = piece.request
            if request.context.deadline <= now:
                self._expire(request)
            if not request.done.done():
                request.context.begun = True
                batch.append(piece)
                rows += piece.rows.count
        return batch

    async def _run(self, batch: list[Piece]) -> None:
        try:
            now = self._clock()
            for piece in batch:
                self._observe_queue(now - piece.request.arrived)
            await self._answer(batch)
        except (
            NotReady,
            Overloaded,
            DeadlineExceeded,
        ) as error:  # says nothing about any row: alone would be no better
            for piece in batch:
                piece.request.fail(error)
        except Exception as error:
            if len(batch) == 1:
                batch[0].request.fail(error)
            else:
                await self._answer_alone(batch)

    async def _answer_alone(self, batch: list[Piece]) -> None:
        for piece in batch:
            if not piece.request.done.done():
                try:
                    await self._answer([piece])
                except Exception as error:
                    piece.request.fail(error)

    async def _answer(self, batch: list[Piece]) -> None:
        # No deadline of its own: each caller minds its own, and a thread that computes cannot be stopped.
        if len(batch) == 1:
            piece = batch[0]
            context = Context(inf, piece.request.context.request_id)
            piece.request.put(piece.index, await self._predict(piece.rows, context))
            return
        answer = await self._predict(joined([piece.rows for piece in batch]), Context(inf))
        start = 0
        for piece in batch:
            end = start + piece.rows.count
            piece.request.put(piece.index, answer.take(slice(start, end)))
            start = end
