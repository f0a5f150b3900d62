"""A gentle swap: what the old version was asked most goes through the new one before anybody else does.

Otherwise a swap, which makes every cached answer one of another generation, sends all traffic to the model at once.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import Final

from mlserve.config.schema import ReloadConfig
from mlserve.errors import RequestError
from mlserve.serving.deployment import Deployment
from mlserve.types import Context

logger = logging.getLogger(__name__)

CHUNK_ROWS: Final = 256
"""Rows per request of ours, so that those of others get their turn between."""


async def warm(new: Deployment, old: Deployment, config: ReloadConfig) -> int:
    """Runs the hot rows of ``old`` through ``new``, which stores the answers. Answers how many; bounded by time.

    Nothing if the new version is not cached or the two do not take the same inputs. A row that the new version refuses
    is skipped with its chunk. Raises nothing but ``CancelledError``: a swap must not fail for want of warm rows.
    """
    warmable = new.cache.not_cached is None and old.interface.inputs == new.interface.inputs
    if not config.warm_rows or not warmable:
        return 0
    try:
        return await _warm(new, old, config)
    except Exception:
        logger.exception("%s: the new version could not be warmed, it serves as it is", new.model_id)
        return 0


async def _warm(new: Deployment, old: Deployment, config: ReloadConfig) -> int:
    end = monotonic() + config.warm_time_ms.total_seconds()
    rows = await asyncio.to_thread(old.cache.rows_of, old.cache.hot_keys(config.warm_rows))
    if rows is None:
        return 0
    warmed = 0
    for start in range(0, rows.count, CHUNK_ROWS):
        if monotonic() >= end:
            break
        chunk = rows.take(slice(start, start + CHUNK_ROWS))
        try:
            await new.predict(chunk, Context(deadline=end, request_id="warm-up"))
            warmed += chunk.count
        except RequestError as error:
            logger.debug("%s: rows to warm up with were refused: %s", new.model_id, error)
    return warmed
