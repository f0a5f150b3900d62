"""Which models there should be, and who answers for each id.

The configuration states the complete wanted set (:meth:`Manager.apply`), so a missed change heals at the next one.
Each model is a :class:`Servable` with a task of its own; the manager owns those tasks and awaits every one of them.
Requests come through :meth:`Manager.acquire`, which never waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from mlserve.config.schema import ModelConfig
from mlserve.errors import UnknownModel
from mlserve.serving.deployment import Deployment
from mlserve.serving.events import Event, Listener, ModelLoaded, ModelRemoved
from mlserve.serving.loader import Loader
from mlserve.serving.servable import Servable, Settings
from mlserve.serving.turns import Turns
from mlserve.sources.watch import FolderWatch

logger = logging.getLogger(__name__)

MOST_COMPARED: Final = 200
"""Ids that a misspelt one is compared with, at some five microseconds each."""


@dataclass(frozen=True, slots=True)
class Status:
    """One model as operators see it."""

    model_id: str
    deployment: Deployment | None
    error: str | None
    """Why the last load failed, if it did."""
    required: bool

    @property
    def reason(self) -> str | None:
        """One line that says why the model does not serve; ``None`` if it does."""
        if self.deployment is not None:
            return None
        return self.error or "loading"


@dataclass(slots=True)
class _Running:
    servable: Servable
    task: asyncio.Task[None]


class Manager:
    """Every model of one process. Made, used and closed on the event loop."""

    def __init__(
        self,
        loader: Loader,
        settings: Settings,
        watch: FolderWatch,
        *,
        listeners: Sequence[Listener] = (),
        concurrent_loads: int = 2,
    ) -> None:
        self._loader = loader
        self._settings = settings
        self._listeners = list(listeners)
        self._turns = Turns(concurrent_loads)
        self._running: dict[str, _Running] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._watch = watch
        self._awaited: set[str] | None = None
        """Required models of the first configuration that have not served yet."""

    def listen(self, listener: Listener) -> None:
        """Tell ``listener`` of every event from now on."""
        self._listeners.append(listener)

    def apply(self, models: Sequence[ModelConfig], base: str) -> None:
        """Make ``models`` the wanted set. Returns at once: loading, replacing and draining go on in their tasks."""
        wanted = {config.id: config for config in models}
        required = {config.id for config in models if config.required}
        self._awaited = required if self._awaited is None else self._awaited & required
        for model_id in self._running.keys() - wanted.keys():
            self._remove(model_id)
        for model_id, config in wanted.items():
            running = self._running.get(model_id)
            if running is None:
                self._add(config, base)
            elif not _same(running.servable.config, config):
                running.servable.configure(config, base)
        self._running = {model_id: self._running[model_id] for model_id in wanted}

    def acquire(self, model_id: str) -> Deployment:
        """The version that serves ``model_id``; enter it before the next await.

        Raises :class:`UnknownModel`, or :class:`NotReady` while nothing serves.
        """
        running = self._running.get(model_id)
        if running is None:
            raise UnknownModel(f"no model of that id is configured{self._hint(model_id)}")
        return running.servable.acquire()

    def __contains__(self, model_id: object) -> bool:
        return model_id in self._running

    @property
    def statuses(self) -> list[Status]:
        """Every configured model, in the configuration's order."""
        return [
            Status(
                model_id,
                running.servable.deployment,
                str(running.servable.error) if running.servable.error else None,
                running.servable.config.required,
            )
            for model_id, running in self._running.items()
        ]

    @property
    def not_serving(self) -> dict[str, str]:
        """Id -> why, for each model that no version answers for."""
        return {status.model_id: status.reason for status in self.statuses if status.reason is not None}

    @property
    def ready(self) -> bool:
        """False until every required model of the first configuration has served; from then on, if none serves."""
        return not self._awaited and len(self.not_serving) < len(self._running)

    async def first_attempts(self) -> None:
        """Until every model has been loaded once, well or not: for ``check`` and ``--strict``."""
        await asyncio.gather(*(running.servable.attempted.wait() for running in self._running.values()))

    async def close(self) -> None:
        """Stops loading, drains every model, frees it. Not an event: nobody took the models away."""
        self._listeners.clear()
        for model_id in list(self._running):
            self._remove(model_id)
        while self._leaving:
            await asyncio.gather(*self._leaving)

    def _hint(self, model_id: str) -> str:
        """Nothing where comparing with all ids would keep requests waiting: anybody may ask for any."""
        if len(self._running) > MOST_COMPARED:
            return ""
        near = get_close_matches(model_id, self._running, n=1)
        return f"; did you mean {near[0]!r}?" if near else ""

    def _add(self, config: ModelConfig, base: str) -> None:
        servable = Servable(
            config,
            base,
            loader=self._loader,
            turns=self._turns,
            settings=self._settings,
            notify=self._notify,
            watch=self._watch,
        )
        task = asyncio.create_task(servable.run(), name=f"servable {config.id}")
        task.add_done_callback(_report)
        self._running[config.id] = _Running(servable, task)

    def _remove(self, model_id: str) -> None:
        running = self._running.pop(model_id)
        running.servable.withdraw()
        task = asyncio.create_task(self._leave(model_id, running), name=f"close {model_id}")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave(self, model_id: str, running: _Running) -> None:
        running.task.cancel()
        await asyncio.wait([running.task])
        await running.servable.close()
        if model_id not in self._running:
            self._notify(ModelRemoved(model_id))

    def _notify(self, event: Event) -> None:
        if isinstance(event, ModelLoaded) and self._awaited:
            self._awaited.discard(event.model_id)
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                logger.exception("a listener failed on %s of %s", type(event).__name__, event.model_id)


def _same(one: ModelConfig, other: ModelConfig) -> bool:
    """Equal, where ``Default: .nan`` equals itself."""
    return one == other or (one.store == other.store and repr(one.model_dump()) == repr(other.model_dump()))


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("the task %r ended with an error", task.get_name(), exc_info=error)
