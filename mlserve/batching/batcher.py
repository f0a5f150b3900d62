"""A ``Predict`` that joins the rows of requests into batches for the ``Predict`` behind it.

Rows that can share a run (equal dtypes and trailing shapes) wait in one line, first come first served. A batch leaves
at the end of the loop's current step, so that requests which arrived together run together without anyone waiting for
long. Where requests do not come together, one that finds nothing running goes at once. Requests with more rows than a
batch may have are split and put together again.

Runs are the batcher's, not the callers'. One that leaves takes its rows out of the line, or, if they already run, just
does not get the answer: what has begun is finished. When a batch of several requests fails, each runs again alone,
once, and only those that fail then get the error.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from math import ceil, inf
from time import monotonic

from mlserve.batching.company import Company
from mlserve.batching.joining import joined, parted
from mlserve.batching.line import Line, Lines
from mlserve.batching.request import Pieces, Request
from mlserve.batching.window import BatchPolicy, seconds_to_wait
from mlserve.contracts.batching import BatchState
from mlserve.deadlines import Deadlines
from mlserve.errors import DeadlineExceeded, NotReady, Overloaded
from mlserve.promise import Promise, promised
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
        self._clock = clock
        self._run_name = f"batch {model_id}"
        self._opens_at_once = not policy.window_s(0)
        self._lines = Lines(on_queued)
        self._again: deque[Request] = deque()
        self._runs: dict[Promise, list[Request]] = {}
        self._running_rows = 0
        self._company = Company()
        self._deadlines = Deadlines()
        self._flush_soon: asyncio.Handle | None = None
        self._window: asyncio.TimerHandle | None = None
        self._idle: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a run; ``on_queued`` is told of each change."""
        return self._lines.rows

    @property
    def rows(self) -> int:
        """Rows that wait or run, those whose callers have left included."""
        return self._lines.rows + self._running_rows

    def state(self) -> BatchState:
        """As it is now."""
        runs, policy = len(self._runs), self._policy
        waiting = sum(ceil(line.rows / policy.max_rows) for line in self._lines.all)
        return BatchState(runs, waiting, self.queued_rows >= policy.max_queued_rows, policy.window_s(runs))

    def __call__(self, rows: Rows, context: Context) -> Awaitable[Rows]:
        """Raises ``Overloaded`` if the line is full, ``DeadlineExceeded``, and what the ``Predict`` behind raises."""
        if self._closed:
            raise NotReady(f"{self._model_id} is closing")
        if not rows.count:
            return self._predict(rows, context)
        now = self._clock()
        if context.deadline <= now:
            raise DeadlineExceeded(f"the deadline passed before {self._model_id} began")
        queued, policy = self._lines.rows, self._policy
        if queued and queued + rows.count > policy.max_queued_rows:
            raise Overloaded(f"{self._model_id} has {queued} rows waiting; its limit is {policy.max_queued_rows}")
        if rows.count > policy.max_rows:
            return Pieces(rows, policy.max_rows, lambda piece: self._ask(Request(piece, context, now, self)))
        return self._ask(Request(rows, context, now, self))

    async def close(self) -> None:
        """Refuses new rows, fails those in line, waits for the runs in progress."""
        self._closed = True
        for request in [request for line in self._lines.all for request in line.requests]:
            self._lines.remove(request)
            request.fail(NotReady(f"{self._model_id} is closing"))
        for handle in (self._flush_soon, self._window):
            if handle is not None:
                handle.cancel()
        self._flush_soon = None
        self._schedule()
        while self._runs or self._again:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    def withdraw(self, request: Request) -> None:
        """For requests: the caller has gone, and their room in line is free at once."""
        self._lines.remove(request)

    def expire(self, request: Request) -> None:
        """For requests: their deadline has passed."""
        self._lines.remove(request)
        request.fail(DeadlineExceeded(f"{self._model_id} did not answer before the deadline"))

    def _ask(self, request: Request) -> Request:
        if self._flush_soon is None:
            self._flush_soon = asyncio.get_running_loop().call_soon(self._flush)
        company = self._company.came()
        if company or self._lines or self._again or self._runs or not self._opens_at_once:
            self._lines.add(request)
        else:
            self._start([request])
        if not request.kept:
            self._deadlines.watch(request)
        return request

    def _schedule(self) -> None:
        """Called when the lines or the number of runs have changed, but for requests that came in this very step."""
        if self._idle is not None and not self._runs and not self._again and not self._idle.done():
            self._idle.set_result(None)
        if not self._lines and not self._again:
            return
        if self._flush_soon is not None or len(self._runs) >= self._policy.max_runs:
            return
        delay = 0.0 if self._again else self._next_line()[0]
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
        lines = self._lines.all
        if not self._policy.wait_s and not self._policy.increment_max:
            return 0.0, min(lines, key=lambda line: line.first.arrived)
        now, runs = self._clock(), len(self._runs)

        def turn(line: Line) -> tuple[float, float]:
            arrived = line.first.arrived
            delay = seconds_to_wait(self._policy, rows=line.rows, oldest_age_s=now - arrived, runs=runs)
            return inf if delay is None else delay, arrived

        line = min(lines, key=turn)
        return turn(line)[0], line

    def _flush(self) -> None:
        """The step has ended, or a window."""
        self._flush_soon = None
        self._company.step_ended()
        # Runs on the loop have ended when they return: no more of them in a step than would run side by side.
        for _ in range(self._policy.max_runs - len(self._runs)):
            batch = self._next_batch()
            if not batch:
                break
            self._start(batch)
        self._schedule()

    def _next_batch(self) -> list[Request]:
        """What goes now; nothing if nobody waits, or nobody yet. Rows whose caller left or whose time is up do not."""
        while self._again:
            request = self._again.popleft()
            if not request.kept:
                return [request]
        now = self._clock()
        while self._lines:
            delay, line = self._next_line()
            if delay:
                break
            batch = self._lines.take(line, self._policy.max_rows)
            for request in batch:
                if request.deadline <= now:
                    self.expire(request)
            batch = [request for request in batch if not request.kept]
            if batch:
                return batch
        return []

    def _start(self, batch: list[Request]) -> None:
        now = self._clock()
        for request in batch:
            request.context.begun = True
            self._observe_queue(now - request.arrived)
        run = promised(lambda: self._run(batch), name=self._run_name)
        if run.kept:
            self._answer(batch, run)
        else:
            self._runs[run] = batch
            self._running_rows += _rows_in(batch)
            run.then(self._ended)

    def _run(self, batch: list[Request]) -> Awaitable[Rows]:
        # No deadline of its own: each caller minds its own, and a thread that computes cannot be stopped.
        if len(batch) == 1:
            return self._predict(batch[0].rows, Context(inf, batch[0].context.request_id))
        return self._predict(joined([request.rows for request in batch]), Context(inf))

    def _ended(self, run: Promise) -> None:
        batch = self._runs.pop(run)
        self._running_rows -= _rows_in(batch)
        self._answer(batch, run)
        self._schedule()

    def _answer(self, batch: list[Request], run: Promise) -> None:
        error = run.error
        if error is not None:
            self._fail(batch, error)
        elif len(batch) == 1:
            batch[0].settle(run.result())
        else:
            answers = parted(run.result(), [request.rows.count for request in batch])
            for request, answer in zip(batch, answers, strict=True):
                request.settle(answer)

    def _fail(self, batch: list[Request], error: BaseException) -> None:
        # A refusal says nothing about any row: to run again alone would be no better.
        refused = not isinstance(error, Exception) or isinstance(error, NotReady | Overloaded | DeadlineExceeded)
        if len(batch) > 1 and not refused:
            self._again.extend(batch)
        else:
            for request in batch:
                request.fail(error)


def _rows_in(batch: list[Request]) -> int:
    return sum([request.rows.count for request in batch])
