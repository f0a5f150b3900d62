"""Which models there are, who answers for each id, and when the server may say that it is ready."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from mlserve.config.schema import ModelConfig
from mlserve.errors import NotReady, SourceError, UnknownModel
from mlserve.serving.deployment import State
from mlserve.serving.events import Event, ModelFailed, ModelLoaded, ModelRemoved
from mlserve.serving.manager import MOST_COMPARED, Manager
from mlserve.sources.watch import FolderWatch
from tests.support.deployments import as_lists, context, rows
from tests.support.loading import Stage, model_config, until
from tests.support.models import FakeModel, Gate


def named(*ids: str, **members: Any) -> list[ModelConfig]:
    """A configuration of models with these ids, each with a source of its own."""
    return [model_config(ID=name, URL=f"{name}.fake", PollInterval="10h", **members) for name in ids]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage(tmp_path, monkeypatch)
    for name in "abcd":
        stage.source(f"{name}.fake", name)
    return stage


@pytest.fixture
async def manager(stage: Stage) -> AsyncIterator[Manager]:
    manager = Manager(
        stage.loader, stage.settings, cast("FolderWatch", stage.watch), listeners=[stage.events.put_nowait]
    )
    yield manager
    await manager.close()
    assert stage.backend.open_models == 0
    assert list(stage.folder.iterdir()) == []
    assert manager.statuses == []


async def loaded(stage: Stage, count: int = 1) -> None:
    for _ in range(count):
        await stage.event(ModelLoaded)


async def test_the_wanted_set_is_what_there_is(manager: Manager, stage: Stage) -> None:
    """Models come, go, change and stay by one statement of all."""
    a, b = named("a", "b")
    manager.apply([a, b], "/base")
    await loaded(stage, 2)
    kept = manager.acquire("b")
    changed, c = named("b", CacheVersion="2") + named("c")
    manager.apply([c, changed], "/base")
    assert "a" not in manager
    with pytest.raises(UnknownModel):
        manager.acquire("a")
    assert manager.acquire("b") is kept
    events = [await asyncio.wait_for(stage.events.get(), 10) for _ in range(3)]
    assert {(type(event), event.model_id) for event in events} == {
        (ModelRemoved, "a"),
        (ModelLoaded, "b"),
        (ModelLoaded, "c"),
    }
    assert manager.acquire("b").origin.config.cache_version == "2"
    assert [status.model_id for status in manager.statuses] == ["c", "b"]


async def test_what_did_not_change_is_left_alone(manager: Manager, stage: Stage) -> None:
    """A configuration is read anew for one model; the others keep their version, whatever their defaults."""
    members = {"Inputs": [{"Name": "x", "Default": float("nan")}]}
    manager.apply(named("a", **members), "/base")
    await loaded(stage)
    kept = manager.acquire("a")
    manager.apply(named("a", **members) + named("b"), "/base")
    await loaded(stage)
    await stage.idle(stage.sources["a.fake"], 3)
    assert manager.acquire("a") is kept
    assert len(stage.backend.models) == 2


async def test_acquire(manager: Manager, stage: Stage) -> None:
    """Unknown, not yet, now: three answers, and none of them waits."""
    manager.apply(named("a"), "/base")
    with pytest.raises(NotReady, match="model a does not serve yet"):
        manager.acquire("a")
    await loaded(stage)
    with manager.acquire("a") as deployment:
        assert as_lists(await deployment.predict(rows(x=[2]), context())) == {"y": [4.0]}


@pytest.mark.parametrize(
    ("asked", "hint"), [("pengiuns", "; did you mean 'penguins'?"), ("x", ""), ("", ""), ("p" * 5000, "")]
)
async def test_the_nearest_match_of_an_unknown_id(asked: str, hint: str, manager: Manager, stage: Stage) -> None:
    """A misspelt id is the most common mistake; the answer does not repeat what came."""
    stage.source("penguins.fake")
    manager.apply(named("penguins"), "/base")
    with pytest.raises(UnknownModel) as refusal:
        manager.acquire(asked)
    assert str(refusal.value) == f"no model of that id is configured{hint}"
    await loaded(stage)


async def test_a_misspelt_id_is_not_compared_with_a_thousand(manager: Manager, stage: Stage) -> None:
    """Whoever asks for ids that are not there would hold up everybody else for milliseconds each time."""
    manager.apply(named(*(f"model{number}" for number in range(MOST_COMPARED + 1))), "/base")
    with pytest.raises(UnknownModel) as refusal:
        manager.acquire("modell1")
    assert str(refusal.value) == "no model of that id is configured"


async def test_removed_while_callers_are_inside(manager: Manager, stage: Stage) -> None:
    """They get their answers; only then is the model freed."""
    with Gate() as gate:
        stage.backend.make = lambda: FakeModel(gate)
        manager.apply(named("a"), "/base")
        await loaded(stage)
        deployment = manager.acquire("a")

        async def call() -> object:
            with deployment:
                return as_lists(await deployment.predict(rows(x=[2]), context()))

        caller = asyncio.create_task(call())
        await asyncio.to_thread(gate.wait_for_arrival)
        assert not deployment.withdrawn
        manager.apply(named("b"), "/base")
        assert deployment.withdrawn, "at once: who remembers it must not answer for it after a 404"
        await loaded(stage)
        assert (deployment.state, stage.backend.open_models) == (State.DRAINING, 2)
        gate.open()
        assert await caller == {"y": [4.0]}
        await stage.event(ModelRemoved)


async def test_removed_and_there_again(manager: Manager, stage: Stage) -> None:
    """The same id may load while its last version still drains; then nobody is told that it was removed."""
    manager.apply(named("a", "b"), "/base")
    await loaded(stage, 2)
    before = manager.acquire("a")
    with before:
        manager.apply(named("b"), "/base")
        await until(lambda: before.state is State.DRAINING)
        manager.apply(named("a", "b"), "/base")
        await loaded(stage)
        assert manager.acquire("a") is not before
    await until(lambda: before.state is State.CLOSED)
    await until(lambda: stage.backend.open_models == 2)
    assert stage.events.empty()


async def test_status(manager: Manager, stage: Stage) -> None:
    """One line of reason for each model that does not serve, and none for one that does."""
    stage.sources["b.fake"].listing_errors = [SourceError("nothing is there")] * 10_000
    stage.sources["c.fake"].go_on.clear()
    manager.apply(named("a", "b") + named("c", Required=False), "/base")
    await until(lambda: [status.reason for status in manager.statuses] == [None, "nothing is there", "loading"])
    assert manager.not_serving == {"b": "nothing is there", "c": "loading"}
    assert [status.required for status in manager.statuses] == [True, True, False]
    assert [status.deployment is not None for status in manager.statuses] == [True, False, False]


async def test_not_ready_before_there_is_a_configuration(manager: Manager) -> None:
    """Nothing can be asked of it."""
    assert not manager.ready


async def test_ready_once_every_required_model_serves(manager: Manager, stage: Stage) -> None:
    """A roll-out must not send traffic before; Required: false exempts a model."""
    stage.sources["b.fake"].go_on.clear()
    stage.sources["c.fake"].go_on.clear()
    manager.apply(named("a", "b") + named("c", Required=False), "/base")
    await loaded(stage)
    assert not manager.ready
    stage.sources["b.fake"].go_on.set()
    await loaded(stage)
    assert manager.ready


async def test_optional_models_alone_must_serve_one(manager: Manager, stage: Stage) -> None:
    """A server that answers nothing is not ready, whatever is exempted."""
    stage.sources["a.fake"].go_on.clear()
    manager.apply(named("a", Required=False), "/base")
    assert not manager.ready
    stage.sources["a.fake"].go_on.set()
    await loaded(stage)
    assert manager.ready


async def test_ready_stays_while_one_model_serves(manager: Manager, stage: Stage) -> None:
    """A model added later, or one that fails, must not take the whole server out of the load balancer."""
    manager.apply(named("a"), "/base")
    await loaded(stage)
    assert manager.ready
    stage.sources["b.fake"].listing_errors = [SourceError("nothing is there")] * 10_000
    manager.apply(named("a", "b"), "/base")
    await stage.event(ModelFailed)
    assert manager.ready
    manager.apply(named("b"), "/base")
    assert not manager.ready


async def test_ready_does_not_depend_on_being_asked(manager: Manager, stage: Stage) -> None:
    """Every model of the first configuration has served once; that one is loaded anew since changes nothing."""
    manager.apply(named("a", "b"), "/base")
    await loaded(stage, 2)
    manager.apply(named("b"), "/base")
    await stage.event(ModelRemoved)
    stage.sources["a.fake"].go_on.clear()
    manager.apply(named("a", "b"), "/base")
    assert manager.ready


@pytest.mark.parametrize("how", ["removed", "made optional"])
async def test_a_model_that_is_not_wanted_is_not_waited_for(how: str, manager: Manager, stage: Stage) -> None:
    """The operator's way out when one model of many will not load."""
    stage.sources["b.fake"].go_on.clear()
    manager.apply(named("a", "b"), "/base")
    await loaded(stage)
    assert not manager.ready
    manager.apply(named("a") + (named("b", Required=False) if how == "made optional" else []), "/base")
    assert manager.ready


async def test_required_later_is_not_of_the_first_configuration(manager: Manager, stage: Stage) -> None:
    """A server that was ready would otherwise be taken out by a change of the configuration."""
    stage.sources["b.fake"].go_on.clear()
    manager.apply(named("a") + named("b", Required=False), "/base")
    await loaded(stage)
    assert manager.ready
    manager.apply(named("a", "b"), "/base")
    assert manager.ready


async def test_first_attempts_end_well_or_not(manager: Manager, stage: Stage) -> None:
    """``check`` reports when all are through."""
    stage.sources["b.fake"].listing_errors = [SourceError("nothing is there")] * 10_000
    manager.apply(named("a", "b"), "/base")
    await asyncio.wait_for(manager.first_attempts(), 10)
    assert manager.not_serving == {"b": "nothing is there"}


async def test_first_attempts_do_not_wait_for_the_removed(manager: Manager, stage: Stage) -> None:
    """A start with --strict must not hang because a model was taken out meanwhile."""
    stage.sources["b.fake"].go_on.clear()
    manager.apply(named("a", "b"), "/base")
    waiting = asyncio.create_task(manager.first_attempts())
    await loaded(stage)
    manager.apply(named("a"), "/base")
    await asyncio.wait_for(waiting, 10)


async def test_a_listener_that_fails_harms_nobody(
    manager: Manager, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """A metric with a bad label must not stop a model from serving, nor the log from telling."""
    heard: list[Event] = []

    def broken(event: Event) -> None:
        raise ValueError("bad label")

    manager.listen(broken)
    manager.listen(heard.append)
    source = stage.sources["a.fake"]
    manager.apply(named("a"), "/base")
    await loaded(stage)
    source.write("2")
    stage.watch.tell()
    await loaded(stage)
    await until(lambda: stage.backend.open_models == 1)
    assert [type(event) for event in heard] == [ModelLoaded, ModelLoaded]
    assert manager.statuses[0].error is None
    assert "a listener failed on ModelLoaded of a" in caplog.text
    assert "bad label" in caplog.text


async def test_closed_while_loading(stage: Stage) -> None:
    """A stop in the first seconds leaves nothing, loads no further, and tells of no removal."""
    with Gate() as gate:

        def make() -> FakeModel:
            gate.hold()
            return FakeModel()

        stage.backend.make = make
        manager = Manager(stage.loader, stage.settings, cast("FolderWatch", stage.watch))
        manager.listen(stage.events.put_nowait)
        manager.apply(named("a", "b", "c", "d"), "/base")
        for _ in range(2):
            await asyncio.to_thread(gate.wait_for_arrival)
        closing = asyncio.create_task(manager.close())
        await until(lambda: manager.statuses == [])
        gate.open()
        await closing
    assert len(stage.backend.models) == 2
    assert stage.backend.open_models == 0
    assert list(stage.folder.iterdir()) == []
    assert stage.events.empty()


async def test_closed_while_requests_are_inside(stage: Stage) -> None:
    """A stop loses nothing that is in flight."""
    with Gate() as gate:
        stage.backend.make = lambda: FakeModel(gate)
        manager = Manager(stage.loader, stage.settings, cast("FolderWatch", stage.watch))
        manager.listen(stage.events.put_nowait)
        manager.apply(named("a"), "/base")
        await loaded(stage)

        async def call() -> object:
            with manager.acquire("a") as deployment:
                return as_lists(await deployment.predict(rows(x=[2]), context()))

        caller = asyncio.create_task(call())
        await asyncio.to_thread(gate.wait_for_arrival)
        closing = asyncio.create_task(manager.close())
        await until(lambda: "a" not in manager)
        assert not closing.done()
        assert stage.backend.open_models == 1
        gate.open()
        assert await caller == {"y": [4.0]}
        await closing
    assert stage.backend.open_models == 0


async def test_a_task_that_ends_by_a_fault_of_ours_is_told(
    manager: Manager, stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model would otherwise never be looked at again, without a word."""
    monkeypatch.setattr("mlserve.serving.servable.Servable._folders", lambda self: 1 / 0)
    with caplog.at_level(logging.ERROR):
        manager.apply(named("a"), "/base")
        await loaded(stage)
        await until(lambda: "ended with an error" in caplog.text)
    assert "servable a" in caplog.text
