"""The configuration file is a source too: it is watched, settles, and applies without a restart.

A file that cannot be used changes nothing and is reported once, with every problem in it. What only a restart can
change is reported by name. The folder is watched rather than the file, because editors and ConfigMaps replace files.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from mlserve.config.load import LoadedConfig, load_config
from mlserve.config.redact import redact_url
from mlserve.config.schema import Config
from mlserve.errors import SetupError
from mlserve.sources.settle import settled
from mlserve.sources.source import Source, open_source
from mlserve.sources.watch import FolderWatch

logger = logging.getLogger(__name__)

POLL_S: Final = 60.0
MAX_BYTES: Final = 4 * 1024 * 1024
NEEDS_RESTART: Final = ("endpoint", "tls", "metrics", "enable_mem_prof", "enable_cpu_prof")
"""Sections whose changes are reported and left for the next start."""


class ConfigKeeper:
    """Runs as one task of the process: :meth:`run` until cancelled, then :meth:`close`."""

    def __init__(
        self,
        current: LoadedConfig,
        apply: Callable[[LoadedConfig], None],
        watch: FolderWatch,
        *,
        poll_s: float = POLL_S,
        settle: Callable[[Source], Awaitable[object]] = settled,
    ) -> None:
        self._started = self._current = current
        self._apply = apply
        self._poll_s = poll_s
        self._settle = settle
        self._complaint = ""
        self._source: Source = open_source(
            current.url, ready_file=None, max_bytes=MAX_BYTES, companions=_no_companions, timeout_s=poll_s
        )
        self._news = watch.subscribe(self._source.folders())

    def wake(self) -> None:
        """SIGHUP came: read it again."""
        self._news.moved.set()

    async def run(self) -> None:
        """Reads the file whenever it is woken, and every ``poll_s`` seconds."""
        while True:
            try:
                async with asyncio.timeout(self._poll_s):
                    await self._news.moved.wait()
            except TimeoutError:
                pass
            self._news.moved.clear()
            try:
                await self.refresh()
            except Exception:  # a fault of ours must not end the watch over the file
                logger.exception("unexpected failure while reading %s", redact_url(self._current.url))
            self._news.update(self._source.folders())

    async def refresh(self) -> None:
        """One look: applies a changed, valid file; says what is wrong with any other."""
        try:
            await self._settle(self._source)
            loaded = await asyncio.to_thread(load_config, self._current.url)
        except SetupError as error:
            self._complain(redact_url(str(error)))
            return
        if self._complaint:
            logger.info("%s is valid again", redact_url(self._current.url))
            self._complaint = ""
        if loaded.digest != self._current.digest:
            self._take(loaded)

    async def close(self) -> None:
        """After the task of :meth:`run` has ended."""
        self._news.close()
        await self._source.close()

    def _take(self, loaded: LoadedConfig) -> None:
        for notice in loaded.notices:
            if notice not in self._current.notices:
                logger.warning("%s", notice)
        for section in NEEDS_RESTART:
            known = [getattr(one.config, section) for one in (self._started, self._current)]
            if getattr(loaded.config, section) not in known:
                name = Config.model_fields[section].alias
                logger.warning("%s changed: it takes effect at the next start", name)
        self._apply(loaded)
        self._current = loaded
        logger.info("%s applied", redact_url(loaded.url))

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            self._complaint = text
            logger.error("the changed configuration is not used, the one before it goes on:\n%s", text)


def _no_companions(file: Path) -> tuple[str, ...]:
    return ()
