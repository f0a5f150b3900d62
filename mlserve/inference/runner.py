"""The innermost ``Predict``: rows go to the model and come back, off the event loop unless a run is very short."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter

from mlserve.contracts.backend import LoadedModel
from mlserve.errors import BadRequest, NotReady
from mlserve.inference.failure import inference_failed
from mlserve.inference.feed import Feed
from mlserve.inference.on_loop import OnLoop
from mlserve.inference.workers import Workers
from mlserve.promise import Promise
from mlserve.types import Context, Rows

Observe = Callable[[float, int], None]
"""Told the seconds and the rows of every run that ended well; called from the thread that ran it."""


class Runner:
    """Runs one loaded model. Owns its threads; the deployment closes it after its last caller left.

    ``on_loop`` says which requests may run on the loop itself; none if it is left out. ``max_queued_rows`` bounds what
    the threads have before them.
    """

    def __init__(
        self,
        model_id: str,
        model: LoadedModel,
        feed: Feed,
        *,
        threads: int,
        max_queued_rows: int,
        on_loop: OnLoop | None = None,
        observe: Observe = lambda seconds, rows: None,
        on_pending: Callable[[int], None] = lambda change: None,
    ) -> None:
        self._on_loop = on_loop or OnLoop(model_id, 0)
        self._model_id = model_id
        self._model = model
        self._feed = feed
        self._observe = observe
        self._workers = Workers(model_id, threads=threads, max_queued_rows=max_queued_rows, on_pending=on_pending)

    @property
    def pending_rows(self) -> int:
        """Rows handed to the threads and not yet run, running ones included."""
        return self._workers.pending_rows

    @property
    def pending_runs(self) -> int:
        """Requests handed to the threads and not yet answered."""
        return self._workers.pending_calls

    def __call__(self, rows: Rows, context: Context) -> Awaitable[Rows]:
        """Raises as :meth:`Workers.run`, ``InferenceFailed`` if the model fails, and the model's own ``BadRequest``."""
        if self._workers.pending_rows or not self._on_loop.takes(rows.count):
            return self._workers.run(lambda: self._run(rows, context), rows.count, context.deadline)
        if self._workers.closed:
            raise NotReady(f"{self._model_id} is closing")
        stopwatch = self._on_loop.stopwatch
        start = stopwatch()
        try:
            return Promise.of(self._run(rows, context))
        finally:
            self._on_loop.ran(stopwatch() - start, rows.count)

    def _run(self, rows: Rows, context: Context) -> Rows:
        context.begun = True
        start = perf_counter()
        try:
            runs = [self._model.infer(tensors) for tensors in self._feed.tensors(rows)]
            answer = self._feed.rows(runs, rows.count)
        except BadRequest:
            raise
        except (Exception, SystemExit) as error:  # a model that calls sys.exit() ends its request, not the server
            raise inference_failed(self._model_id, "the model", error) from error
        self._observe(perf_counter() - start, rows.count)
        return answer

    async def close(self) -> None:
        """Waits for runs that outlived their callers, then frees the model."""
        await self._workers.close(self._model.close)
