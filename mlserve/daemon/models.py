"""A manager with all it needs, as ``serve``, ``check`` and ``inspect`` use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from mlserve.assemble import Assembler
from mlserve.config.schema import Config
from mlserve.daemon.workdir import WorkDirs
from mlserve.observe.metrics import Metrics
from mlserve.serving.events import Listener
from mlserve.serving.loader import Loader
from mlserve.serving.manager import Manager
from mlserve.serving.servable import Settings
from mlserve.serving.watch import FolderWatch

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
    config: Config, metrics: Metrics, watch: FolderWatch, listeners: Sequence[Listener] = ()
) -> AsyncIterator[Manager]:
    """A manager without models; on the way out its models drain and their copies are removed."""
    folders = WorkDirs()
    drain_s = config.endpoint.request_timeout.total_seconds() + DRAIN_GRACE_S
    settings = Settings(copies_in=folders.below, drain_s=drain_s)
    manager = Manager(Loader(Assembler(config, metrics)), settings, watch, listeners=listeners)
    try:
        yield manager
    finally:
        try:
            await manager.close()
        finally:
            await asyncio.to_thread(folders.close)
