"""Keeps one configured model in step with its source: what should serve is what does, or the last that could.

One task per model runs :meth:`Servable.run`: look, wait until the parts have settled, copy them, load, prove, publish
by one assignment, drain the version before. A failure leaves everything as it was, is kept as the cause, and is tried
again with a growing delay. The task wakes early when the folder watch or a new configuration says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlserve.config.schema import ModelConfig
from mlserve.errors import LoadError, NotReady, SetupError
from mlserve.serving.artifact import Artifact, Listing
from mlserve.serving.deployment import Deployment, Origin
from mlserve.serving.events import Listener, ModelFailed, ModelLoaded, ModelRecovered
from mlserve.serving.loader import Loader, part_digests, remove_copies
from mlserve.serving.parts import Role, open_parts
from mlserve.serving.settle import settled
from mlserve.serving.source import Source
from mlserve.serving.watch import FolderWatch

logger = logging.getLogger(__name__)

FIRST_RETRY_S: Final = 1.0
MAX_DRAINING: Final = 3
"""Versions of one model that may drain at once; a further load waits, so that reloads in a row cannot fill memory."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What every servable of a process shares. Times in seconds."""

    work_dir: Path
    drain_s: float
    source_timeout_s: float = 60.0


class Servable:
    """One model id. The manager makes it, runs it as a task, and closes it."""

    def __init__(
        self,
        config: ModelConfig,
        base: str,
        *,
        loader: Loader,
        loads: asyncio.Semaphore,
        settings: Settings,
        notify: Listener,
        watch: FolderWatch,
    ) -> None:
        self.deployment: Deployment | None = None
        self.error: SetupError | None = None
        """Why the last attempt failed; ``None`` after one that did not."""
        self._config = config
        self._base = base
        self._loader = loader
        self._loads = loads
        self._settings = settings
        self._notify = notify
        self._news = watch.subscribe(())
        self._parts: dict[Role, Source] = {}
        self._parts_of: ModelConfig | None = None
        self._seen: dict[Role, Listing] | None = None
        self._failures = 0
        self._draining: set[asyncio.Task[None]] = set()
        self.attempted = asyncio.Event()
        """Set once the first attempt has ended, well or not."""

    @property
    def config(self) -> ModelConfig:
        return self._config

    def configure(self, config: ModelConfig, base: str) -> None:
        """Another configuration of the same id: it applies when a version made by it has proved itself."""
        self._config = config
        self._base = base
        self._seen = None
        self._failures = 0
        self._news.moved.set()

    def acquire(self) -> Deployment:
        """The version that serves. Enter it (``with``) before the next await. Raises :class:`NotReady`."""
        if self.deployment is None:
            detail = "its last load failed; the server's /readyz has the cause" if self.error else "it is loading"
            raise NotReady(f"model {self._config.id} does not serve yet: {detail}")
        return self.deployment

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._news.moved.clear()
            await self._attempt()
            self.attempted.set()
            self._news.update(self._folders())
            try:
                async with asyncio.timeout(self._delay_s()):
                    await self._news.moved.wait()
            except TimeoutError:
                pass

    async def close(self) -> None:
        """Drains what serves and what already drains. Call after the task of :meth:`run` has ended."""
        self._news.close()
        if self.deployment is not None:
            self._retire(self.deployment)
            self.deployment = None
        await asyncio.gather(*self._draining)
        await self._close_parts()

    def _delay_s(self) -> float:
        poll_s = self._config.poll_interval.total_seconds()
        return min(poll_s, FIRST_RETRY_S * 2 ** min(self._failures - 1, 10)) if self._failures else poll_s

    async def _attempt(self) -> None:
        try:
            await self._refresh()
        except SetupError as error:
            self._failed(error)
        except Exception as error:
            logger.exception("%s: unexpected failure while loading", self._config.id)
            self._failed(LoadError(f"{type(error).__name__}: {error}"))
        else:
            self._succeeded()

    def _failed(self, error: SetupError) -> None:
        repeated = self.error is not None and str(self.error) == str(error)
        self.error = error
        self._failures += 1
        self._notify(ModelFailed(self._config.id, error, self.deployment, self._delay_s(), repeated))

    def _succeeded(self) -> None:
        if self.error is not None and self.deployment is not None:
            self._notify(ModelRecovered(self.deployment))
        self.error = None
        self._failures = 0

    async def _refresh(self) -> None:
        parts = await self._open_parts()
        if not self._failures and await self._listings(parts) == self._seen:
            return
        seen = {role: await settled(source) for role, source in parts.items()}
        async with self._loads:
            artifacts = await self._fetch(parts)
            config = self._config
            origin = Origin(config, tuple(sorted(part_digests(config, artifacts).items())))
            if self.deployment is not None and self.deployment.origin == origin:
                await asyncio.to_thread(remove_copies, artifacts)
            else:
                await self._room_to_drain()
                self._publish(await self._loader.load(config, artifacts))
        if self._parts_of is self._config:
            self._seen = seen

    async def _open_parts(self) -> dict[Role, Source]:
        if self._parts_of is not self._config:
            await self._close_parts()
            config = self._config
            self._parts = open_parts(config, self._base, timeout_s=self._settings.source_timeout_s)
            self._parts_of = config
        return self._parts

    def _folders(self) -> frozenset[Path]:
        return frozenset[Path]().union(*(source.folders() for source in self._parts.values()))

    async def _close_parts(self) -> None:
        parts, self._parts, self._parts_of = self._parts, {}, None
        for source in parts.values():
            await source.close()

    @staticmethod
    async def _listings(parts: Mapping[Role, Source]) -> dict[Role, Listing]:
        return {role: await source.listing() for role, source in parts.items()}

    async def _fetch(self, parts: Mapping[Role, Source]) -> dict[Role, Artifact]:
        artifacts: dict[Role, Artifact] = {}
        try:
            for role, source in parts.items():
                artifacts[role] = await source.fetch(self._settings.work_dir)
        except BaseException:
            await asyncio.to_thread(remove_copies, artifacts)
            raise
        return artifacts

    def _publish(self, deployment: Deployment) -> None:
        replaced, self.deployment = self.deployment, deployment
        self.error = None
        self._notify(ModelLoaded(deployment, replaced))
        if replaced is not None:
            self._retire(replaced)

    def _retire(self, deployment: Deployment) -> None:
        task = asyncio.create_task(self._drain(deployment), name=f"drain {deployment.model_id}")
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

    async def _drain(self, deployment: Deployment) -> None:
        try:
            await deployment.close(self._settings.drain_s)
        except Exception:
            logger.exception("%s: a replaced version did not close cleanly", deployment.model_id)

    async def _room_to_drain(self) -> None:
        while len(self._draining) >= MAX_DRAINING:
            await asyncio.wait(self._draining, return_when=asyncio.FIRST_COMPLETED)
