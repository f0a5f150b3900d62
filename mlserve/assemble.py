"""Joins the rooms: from a loaded version to its own wrapped ``Predict``.

::

    rounding -> (cache) -> transformer -> (batcher) -> runner -> backend

Each is a function from ``Predict`` to ``Predict``; those in brackets find their place here when they are built.
The loader calls :meth:`Assembler.__call__` once for each version; nothing else knows how a chain is put together.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from typing import Final

from mlserve.batching.admission import Admission
from mlserve.config.schema import Config, ModelConfig
from mlserve.inference.feed import Feed, Misaligned
from mlserve.inference.probe import measure_inline_rows, run
from mlserve.inference.rounding import rounding
from mlserve.inference.runner import Runner
from mlserve.inference.transformer import load_transformer, transforming
from mlserve.inference.workers import Workers
from mlserve.observe.metrics import Metrics
from mlserve.serving.loader import Assembled, NotByRows, Version
from mlserve.serving.selftest import sample_rows
from mlserve.types import Predict, Rows, Serving

MAX_QUEUED_ROWS: Final = 16_384
"""Rows that may wait for a model's threads before callers are told to come back (mly's default, in rows)."""


class Assembler:
    """Makes chains for the models of one process."""

    def __init__(self, config: Config, metrics: Metrics) -> None:
        self._config = config
        self._metrics = metrics

    async def __call__(self, version: Version) -> Assembled:
        """Raises ``NotByRows`` if the first runs show that outputs do not line up with rows, and ``LoadError``."""
        config, model, interface = version.config, version.model, version.interface
        feed = Feed(model.signature, interface.serving)
        transformer = None
        if config.transformer:
            transformer = await asyncio.to_thread(load_transformer, config.transformer, version.transformer)

        def sample(count: int) -> Rows:
            return sample_rows(interface, config.test, count)

        def first_runs() -> int:
            # Two sizes: an output that always has two elements lines up with two rows by chance.
            for count in (1,) if interface.serving is Serving.WHOLE else (1, 2):
                run(model, feed, sample(count))
            return measure_inline_rows(model, feed, sample)

        warnings: tuple[str, ...] = ()
        inline_rows = 0
        try:
            inline_rows = await asyncio.to_thread(first_runs)
        except Misaligned as error:
            raise NotByRows(str(error)) from error
        except Exception as error:  # the row was made up: the model may be right to refuse it
            warnings = (f"not warmed up, made-up values fail ({_brief(error)}); give a row in Test.Single",)

        threads, max_queued_rows = _concurrency(config), self._max_queued_rows(config)
        metrics = self._metrics.model(config.id)

        def observe(seconds: float, rows: int) -> None:
            metrics.observe_infer(seconds, rows)
            admission.observe_run(seconds, rows)

        runner = Runner(
            config.id,
            model,
            feed,
            threads=threads,
            max_queued_rows=max_queued_rows,
            inline_rows=inline_rows,
            observe=observe,
            on_pending=metrics.pending_rows.inc,
        )
        admission = Admission(config.id, runner, rows_per_run=None, parallel=threads)
        predict: Predict = admission
        owned = AsyncExitStack()
        owned.push_async_callback(runner.close)
        if transformer is not None:
            workers = Workers(f"{config.id}'s transformer", threads=threads, max_queued_rows=max_queued_rows)
            predict = transforming(predict, transformer, interface, config.id, workers)
            owned.push_async_callback(workers.close)
        return Assembled(rounding(predict, interface), owned.aclose, warnings)

    def _max_queued_rows(self, config: ModelConfig) -> int:
        for batch in (config.batch, self._config.global_batching):
            if batch is not None and batch.max_queued_rows is not None:
                return batch.max_queued_rows
        return MAX_QUEUED_ROWS


def _concurrency(config: ModelConfig) -> int:
    """Runs of one model at once: what its ``Batch`` says, else one per processor we may use."""
    if config.batch is not None and config.batch.max_evaluator_concurrency:
        return config.batch.max_evaluator_concurrency
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
