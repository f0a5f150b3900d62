"""Fake backend, assembler and sources: loads whose every stage a test can hold, count and make fail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

from mlserve.config.schema import ModelConfig
from mlserve.contracts.backend import LoadedModel, LoadOptions
from mlserve.contracts.cache_view import CacheView
from mlserve.inference.feed import Feed
from mlserve.inference.runner import Runner
from mlserve.serving import loader as loader_module
from mlserve.serving.events import Event
from mlserve.serving.loader import Assembled, Loader, Version
from mlserve.serving.lookups import without_folding
from mlserve.serving.parts import Role
from mlserve.serving.servable import Settings
from mlserve.sources.source import Source
from tests.support.deployments import FakeView
from tests.support.models import PATIENCE_S, FakeModel
from tests.support.sources import FakeSource, FakeWatch

Action = Callable[[], object]
AnEvent = TypeVar("AnEvent", bound=Event)


def model_config(**members: Any) -> ModelConfig:
    """Model ``m`` of the fake backend, by the names of the YAML file."""
    return ModelConfig.model_validate({"ID": "m", "URL": "m.fake", "Backend": "fake", **members})


class FakeBackend:
    """Loads what ``make`` makes, in the thread of whoever loads. ``models`` keeps all, ``options`` the last."""

    name: ClassVar[str] = "fake"

    def __init__(self, make: Callable[[], FakeModel] = FakeModel) -> None:
        self.make = make
        self.models: list[FakeModel] = []
        self.contents: list[str] = []
        self.options: LoadOptions | None = None
        self.by_name = {"fake": self, "python": self}

    def claims(self, files: Collection[str]) -> bool:
        return any(name.endswith(".fake") for name in files)

    def companions(self, file: Path) -> Sequence[str]:
        return ()

    def load(self, artifact: Path | None, options: LoadOptions) -> LoadedModel:
        assert threading.current_thread() is not threading.main_thread(), "loading blocks the loop"
        self.options = options
        self.contents.append(artifact.read_text() if artifact else "")
        self.models.append(self.make())
        return self.models[-1]

    @property
    def open_models(self) -> int:
        return sum(1 for model in self.models if not model.closed)


def install(backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    """``Backend: fake`` in a configuration means ``backend`` from now on."""
    monkeypatch.setattr(loader_module, "backend_named", lambda name: backend.by_name[name.partition(":")[0]])
    monkeypatch.setattr(loader_module, "backend_for", lambda files: backend)
    return backend


class FakeAssembler:
    """The model behind a runner with a thread, without warm-up. ``failures`` are raised by one call each."""

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self.versions: list[Version] = []
        self.warnings: tuple[str, ...] = ()
        self.view: Callable[[], CacheView] = FakeView
        """Makes the next version's cache."""
        self.refuted: tuple[str, ...] = ()
        """Inputs that the first runs find exact."""
        self.before: Action | None = None
        """Called in a thread before anything is assembled."""

    async def __call__(self, version: Version) -> Assembled:
        self.versions.append(version)
        if self.before is not None:
            await asyncio.to_thread(self.before)
        if self.failures:
            raise self.failures.pop(0)
        feed = Feed(version.model.signature, version.interface.serving)
        runner = Runner(version.config.id, version.model, feed, threads=1, max_queued_rows=100)
        interface = without_folding(version.interface, self.refuted) if self.refuted else None
        return Assembled(runner, runner.close, self.view(), self.warnings, interface=interface)


async def until(condition: Callable[[], bool]) -> None:
    """For what tells nobody when it happens."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # as said
            await asyncio.sleep(0.001)


class Stage:
    """What a servable or a manager needs, made of fakes. ``sources`` are those of models, by URL."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, drain_s: float = 30.0) -> None:
        self.folder = folder
        self.backend = install(FakeBackend(), monkeypatch)
        self.assembler = FakeAssembler()
        self.loader = Loader(self.assembler)
        self.watch = FakeWatch()
        self.sources: dict[str, FakeSource] = {}
        self.opened: list[FakeSource] = []
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.settings = Settings(
            copies_in=lambda location, base: folder, drain_s=drain_s, first_retry_s=0.001, open_parts=self._open_parts
        )

    def source(self, url: str = "m.fake", content: str = "1") -> FakeSource:
        """The source that models with that URL have from now on."""
        self.sources[url] = FakeSource(content)
        return self.sources[url]

    async def event(self, kind: type[AnEvent]) -> AnEvent:
        """The next event, which must be of that kind."""
        async with asyncio.timeout(PATIENCE_S):
            event = await self.events.get()
        assert isinstance(event, kind), event
        return event

    async def idle(self, source: FakeSource, looks: int = 1) -> None:
        """Until ``source`` was looked at that often, and everybody has taken note."""
        before = source.listings
        async with asyncio.timeout(PATIENCE_S):
            while source.listings < before + looks:
                self.watch.tell()
                await asyncio.sleep(0)

    def _open_parts(self, config: ModelConfig, base: str, *, timeout_s: float) -> Mapping[Role, Source]:
        source = self.sources[config.url]
        self.opened.append(source)
        return {Role.ARTIFACT: source}
