"""The innermost ``Predict``: rows go to the model and come back, off the event loop unless a run is very short."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from mlserve.contracts.backend import LoadedModel
from mlserve.errors import BadRequest, DeadlineExceeded, NotReady, Overloaded
from mlserve.inference.failure import inference_failed
from mlserve.inference.feed import Feed
from mlserve.types import Context, Rows

Observe = Callable[[float, int], None]
"""Told the seconds and the rows of every run that ended well."""


class Runner:
    """Runs one loaded model. Owns its threads; the deployment closes it after its last caller left.

    ``inline_rows`` is the largest request, in rows, that may run on the loop itself: the loader measures it, and 0
    keeps the loop free of this model. ``max_queued_rows`` bounds what waits for a thread.
    """

    def __init__(
        self,
        model_id: str,
        model: LoadedModel,
        feed: Feed,
        *,
        threads: int,
        max_queued_rows: int,
        inline_rows: int = 0,
        observe: Observe = lambda seconds, rows: None,
    ) -> None:
        self.inline_rows = inline_rows
        self._model_id = model_id
        self._model = model
        self._feed = feed
        self._observe = observe
        self._max_queued_rows = max_queued_rows
        self._pending_rows = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"infer-{model_id}")
        self._closed = False

    @property
    def pending_rows(self) -> int:
        """Rows handed to the threads and not yet answered, running ones included."""
        return self._pending_rows

    async def __call__(self, rows: Rows, context: Context) -> Rows:
        """Raises ``DeadlineExceeded``, ``Overloaded``, ``InferenceFailed``, or the runtime's ``BadRequest``."""
        if self._closed:
            raise NotReady(f"{self._model_id} is closing")
        if rows.count <= self.inline_rows and not self._pending_rows:
            return self._run(rows)
        if self._pending_rows and self._pending_rows + rows.count > self._max_queued_rows:
            raise Overloaded(
                f"{self._model_id} has {self._pending_rows} rows waiting; its limit is {self._max_queued_rows}"
            )
        self._pending_rows += rows.count
        try:
            # On cancellation and at the deadline the thread pool forgets a run that has not begun.
            async with asyncio.timeout_at(context.deadline):
                return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, rows)
        except TimeoutError:
            raise DeadlineExceeded(f"{self._model_id} did not answer before the deadline") from None
        finally:
            self._pending_rows -= rows.count

    def _run(self, rows: Rows) -> Rows:
        start = perf_counter()
        try:
            runs = [self._model.infer(tensors) for tensors in self._feed.tensors(rows)]
            answer = self._feed.rows(runs, rows.count)
        except BadRequest:
            raise
        except Exception as error:
            raise inference_failed(self._model_id, "the model", error) from error
        self._observe(perf_counter() - start, rows.count)
        return answer

    async def close(self) -> None:
        """Waits for runs that outlived their callers, then frees the model."""
        self._closed = True
        await asyncio.to_thread(self._shut)

    def _shut(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._model.close()
