"""``Batch`` and ``GlobalBatching`` of the configuration, as a policy. mly's options mean what its users expect."""

from __future__ import annotations

from typing import Final

from mlserve.batching.window import BatchPolicy
from mlserve.config.schema import BatchConfig

MAX_BATCH_ROWS: Final = 512
"""Larger batches gain little and make everybody in them wait."""
MAX_QUEUED_ROWS: Final = 16_384
"""Rows that may wait before callers are told to come back: mly's default of waiting batches, in rows."""


def batch_policy(config: BatchConfig, *, max_runs: int) -> BatchPolicy | None:
    """The policy that ``config`` asks for; ``None`` if it switches batching off (a ``BatchWait`` below 0)."""
    wait = config.batch_wait_micros if config.batch_wait_micros is not None else config.batch_wait
    wait_s = wait.total_seconds() if wait is not None else 0.0
    if wait_s < 0:
        return None
    adjustments = config.timeout_adjustments
    max_rows = config.max_batch_size or MAX_BATCH_ROWS
    return BatchPolicy(
        max_rows=max_rows,
        max_queued_rows=max_queued_rows(config),
        max_runs=config.max_evaluator_concurrency or max_runs,
        wait_s=wait_s if adjustments is None else 0.0,
        increment_s=adjustments.increment.total_seconds() if adjustments else 0.0,
        increment_max=adjustments.max if adjustments else 0,
    )


def max_queued_rows(config: BatchConfig) -> int:
    """``MaxQueuedRows``, or as many rows as ``MaxQueuedBatches`` full batches hold, or the default."""
    if config.max_queued_rows is not None:
        return config.max_queued_rows
    if config.max_queued_batches:
        return config.max_queued_batches * (config.max_batch_size or MAX_BATCH_ROWS)
    return MAX_QUEUED_ROWS
