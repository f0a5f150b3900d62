"""A manager with all it needs, as ``serve``, ``check`` and ``inspect`` use it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NoReturn

from mlserve.assemble import Assembler
from mlserve.cache.datastores import Datastores
from mlserve.config.schema import Config
from mlserve.daemon.workdir import WorkDirs
from mlserve.observe.metrics import Metrics
from mlserve.serving.events import Listener
from mlserve.serving.loader import Loader
from mlserve.serving.manager import Manager
from mlserve.serving.servable import Settings
from mlserve.sources.watch import FolderWatch

logger = logging.getLogger("mlserve")

STUCK: Final = 1
"""Exit code of a process that had to leave a hung model behind."""
DRAIN_GRACE_S: Final = 1.0
"""A drained version waits this much longer than any request may take."""


@asynccontextmanager
async def open_watch() -> AsyncIterator[FolderWatch]:
    """A folder watch, closed on the way out."""
    watch = FolderWatch()
    try:
        yield watch
    finally:
        await watch.close()


@asynccontextmanager
async def open_manager(
    config: Config,
    metrics: Metrics,
    watch: FolderWatch,
    listeners: Sequence[Listener] = (),
    datastores: Datastores | None = None,
) -> AsyncIterator[Manager]:
    """A manager without models; on the way out its models drain and their copies are removed."""
    folders = WorkDirs()
    drain_s = config.endpoint.request_timeout.total_seconds() + DRAIN_GRACE_S
    settings = Settings(copies_in=folders.below, drain_s=drain_s)
    manager = Manager(Loader(Assembler(metrics, datastores or Datastores())), settings, watch, listeners=listeners)
    try:
        yield manager
    finally:
        try:
            async with asyncio.timeout(drain_s + config.endpoint.shutdown_timeout_ms.total_seconds()):
                await manager.close()
        except TimeoutError:
            logger.error("a model still loads or runs, and nothing can stop it: ending without it")
            _end_at_once()
        finally:
            await asyncio.to_thread(folders.close)


def _end_at_once() -> NoReturn:
    """Threads that hang in a model would keep the interpreter from exiting; the next start removes our copies."""
    logging.shutdown()
    os._exit(STUCK)
