"""Keeps one configured model in step with its source: what should serve is what does, or the last that could.

One task per model runs :meth:`Servable.run`: look, wait until the parts have settled, copy them, load, prove, publish
by one assignment, drain the version before. A failure leaves everything as it was, is kept as the cause, and is tried
again with a growing delay. The task wakes early when the folder watch or a new configuration says so; a new
configuration also ends the looking and copying for the one before it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from mlserve.config.schema import ModelConfig
from mlserve.errors import LoadError, NotReady, SetupError
from mlserve.serving.deployment import Deployment
from mlserve.serving.events import Listener, ModelFailed, ModelLoaded, ModelRecovered
from mlserve.serving.loader import Loader, origin_of, remove_copies
from mlserve.serving.parts import Role, open_parts
from mlserve.serving.turns import Turns
from mlserve.serving.warming import warm
from mlserve.sources.artifact import Artifact, Listing
from mlserve.sources.settle import settled
from mlserve.sources.source import Source
from mlserve.sources.watch import FolderWatch

logger = logging.getLogger(__name__)

MAX_DRAINING: Final = 3
"""Versions of one model that may drain at once; a further load waits, so that reloads in a row cannot fill memory."""
_COPIES: Final = 3
"""How often a copy may start over because files moved meanwhile, before that counts as a failure."""


class OpenParts(Protocol):
    """The shape of :func:`~mlserve.serving.parts.open_parts`."""

    def __call__(self, config: ModelConfig, base: str, *, timeout_s: float) -> Mapping[Role, Source]: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """What every servable of a process shares. Times in seconds.

    ``copies_in`` answers the folder that copies are made in, for a model's ``Location`` and the base of relative ones;
    it blocks. ``first_retry_s`` doubles with every failure, up to the model's ``PollInterval``.
    """

    copies_in: Callable[[str | None, str], Path]
    drain_s: float
    source_timeout_s: float = 60.0
    first_retry_s: float = 1.0
    open_parts: OpenParts = open_parts


class _Reconfigured(Exception):
    """What was being done is for a configuration that has been replaced meanwhile."""


class Servable:
    """One model id. The manager makes it, runs it as a task, and closes it."""

    def __init__(
        self,
        config: ModelConfig,
        base: str,
        *,
        loader: Loader,
        turns: Turns,
        settings: Settings,
        notify: Listener,
        watch: FolderWatch,
    ) -> None:
        self.deployment: Deployment | None = None
        self.error: SetupError | None = None
        """Why the last attempt failed; ``None`` after one that did not."""
        self.attempted = asyncio.Event()
        """Set once the first attempt has ended, well or not, or will never be made."""
        self._config = config
        self._base = base
        self._loader = loader
        self._turns = turns
        self._settings = settings
        self._notify = notify
        self._news = watch.subscribe(())
        self._parts: Mapping[Role, Source] = {}
        self._parts_of: ModelConfig | None = None
        self._seen: dict[Role, Listing] | None = None
        self._copying: asyncio.Task[dict[Role, Artifact] | None] | None = None
        self._failures = 0
        self._draining: set[asyncio.Task[None]] = set()

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
        if self._copying is not None:
            self._copying.cancel()

    def acquire(self) -> Deployment:
        """The version that serves. Enter it (``with``) before the next await. Raises :class:`NotReady`."""
        if self.deployment is None:
            detail = "its last load failed; the server's /readyz has the cause" if self.error else "it is loading"
            raise NotReady(f"model {self._config.id} does not serve yet: {detail}")
        return self.deployment

    def withdraw(self) -> None:
        """No request gets the version that serves any more, though it may yet be here to drain."""
        if self.deployment is not None:
            self.deployment.withdrawn = True

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._news.moved.clear()
            await self._attempt(self._config)
            self._news.update(self._folders())
            try:
                async with asyncio.timeout(self._delay_s()):
                    await self._news.moved.wait()
            except TimeoutError:
                pass

    async def close(self) -> None:
        """Drains what serves and what already drains. Call after the task of :meth:`run` has ended."""
        self._news.close()
        self.attempted.set()
        self.withdraw()
        if self.deployment is not None:
            self._retire(self.deployment)
            self.deployment = None
        if self._draining:
            await asyncio.wait(self._draining)
        await self._close_parts()

    def _delay_s(self) -> float:
        poll_s = self._config.poll_interval.total_seconds()
        if not self._failures:
            return poll_s
        return min(poll_s, self._settings.first_retry_s * 2.0 ** min(self._failures - 1, 16))

    async def _attempt(self, config: ModelConfig) -> None:
        error: SetupError | None = None
        try:
            await self._refresh(config)
        except _Reconfigured:
            return
        except SetupError as failure:
            error = failure
        except Exception as failure:
            logger.exception("%s: unexpected failure while loading", config.id)
            error = LoadError(f"{type(failure).__name__}: {failure}")
        if error is None:
            self._succeeded()
        elif self._config is config:
            self._failed(error)
        else:
            return  # nobody wants to know any more
        self.attempted.set()

    def _failed(self, error: SetupError) -> None:
        repeated = self._failures > 0 and str(self.error) == str(error)
        self.error = error
        self._failures += 1
        self._notify(ModelFailed(self._config.id, error, self.deployment, self._delay_s(), repeated))

    def _succeeded(self) -> None:
        recovered = self.error is not None
        self.error = None
        self._failures = 0
        if recovered and self.deployment is not None:
            self._notify(ModelRecovered(self.deployment))

    async def _refresh(self, config: ModelConfig) -> None:
        parts = await self._open_parts(config)
        artifacts = await self._copies(config, parts)
        if artifacts is None:
            return
        async with AsyncExitStack() as copies:
            copies.push_async_callback(asyncio.to_thread, remove_copies, artifacts)
            origin = await asyncio.to_thread(origin_of, config, artifacts)
            if self.deployment is None or self.deployment.origin != origin:
                await self._room_to_drain()
                async with self._turns.take(config.id):
                    if self._config is not config:
                        raise _Reconfigured
                    copies.pop_all()  # they are the loader's now
                    deployment = await self._loader.load(origin, artifacts, self._retire)
                    await self._warm(deployment, config)
                    self._publish(deployment)
        if self._config is config:
            self._seen = {role: artifact.listing for role, artifact in artifacts.items()}

    async def _warm(self, deployment: Deployment, config: ModelConfig) -> None:
        if self.deployment is None:
            return
        try:
            warmed = await warm(deployment, self.deployment, config.reload)
        except BaseException:
            self._retire(deployment)
            raise
        if warmed:
            logger.info("%s: warmed the new version with %d rows", config.id, warmed)

    async def _open_parts(self, config: ModelConfig) -> Mapping[Role, Source]:
        if self._parts_of is not config:
            await self._close_parts()
            self._parts = self._settings.open_parts(config, self._base, timeout_s=self._settings.source_timeout_s)
            self._parts_of = config
        return self._parts

    def _folders(self) -> frozenset[Path]:
        return frozenset[Path]().union(*(source.folders() for source in self._parts.values()))

    async def _close_parts(self) -> None:
        parts, self._parts, self._parts_of = self._parts, {}, None
        for source in parts.values():
            await source.close()

    async def _copies(self, config: ModelConfig, parts: Mapping[Role, Source]) -> dict[Role, Artifact] | None:
        """Copies of all parts, ``None`` if nothing moved. Raises :class:`_Reconfigured` if ``configure`` ends it."""
        self._copying = asyncio.create_task(self._copy_moved(config, parts), name=f"copy {config.id}")
        try:
            return await self._copying
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise _Reconfigured from None
        finally:
            self._copying = None

    async def _copy_moved(self, config: ModelConfig, parts: Mapping[Role, Source]) -> dict[Role, Artifact] | None:
        if not self._failures and self._seen is not None and self._seen == await _listings(parts):
            return None
        folder = await asyncio.to_thread(self._settings.copies_in, config.location, self._base)
        artifacts: dict[Role, Artifact] = {}
        try:
            for role, source in parts.items():
                artifacts[role] = await _copy_settled(source, folder)
        except BaseException:
            await asyncio.to_thread(remove_copies, artifacts)
            raise
        return artifacts

    def _publish(self, deployment: Deployment) -> None:
        self.withdraw()
        replaced, self.deployment = self.deployment, deployment
        self.error = None
        if replaced is not None:
            self._retire(replaced)
        self._notify(ModelLoaded(deployment, replaced))

    def _retire(self, deployment: Deployment) -> None:
        task = asyncio.create_task(self._drain(deployment), name=f"drain {deployment.model_id}")
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)

    async def _drain(self, deployment: Deployment) -> None:
        try:
            await deployment.close(self._settings.drain_s)
        except Exception:
            logger.exception("%s: a version that is not wanted any more did not close cleanly", deployment.model_id)

    async def _room_to_drain(self) -> None:
        try:
            async with asyncio.timeout(self._settings.drain_s):
                while len(self._draining) >= MAX_DRAINING:
                    await asyncio.wait(self._draining, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise LoadError(
                f"{len(self._draining)} earlier versions still run after {self._settings.drain_s:g} s, so a run of "
                "theirs hangs: another version is loaded when one of them has ended"
            ) from None


async def _listings(parts: Mapping[Role, Source]) -> dict[Role, Listing]:
    return {role: await source.listing() for role, source in parts.items()}


async def _copy_settled(source: Source, folder: Path) -> Artifact:
    """A copy of what stands still. Files that move during the copy are a reason to wait again, not yet a failure."""
    left = _COPIES
    while True:
        before = await settled(source)
        left -= 1
        try:
            return await source.fetch(folder)
        except SetupError:
            if not left or await source.listing() == before:
                raise
