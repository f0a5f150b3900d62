"""One model in step with its source: what serves goes on whatever happens, and everything that happens is told once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from mlserve.config.schema import ModelConfig
from mlserve.errors import LoadError, NotReady, SetupError, SourceError
from mlserve.serving.deployment import Deployment, State
from mlserve.serving.events import ModelFailed, ModelLoaded, ModelRecovered
from mlserve.serving.servable import MAX_DRAINING, Servable
from mlserve.serving.turns import Turns
from mlserve.sources.watch import FolderWatch
from mlserve.types import Array
from tests.support.deployments import FakeView, context, rows
from tests.support.loading import Stage, model_config, until
from tests.support.models import FakeModel, Gate

NEVER = "10h"
"""A PollInterval that no test lives to see."""


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


@asynccontextmanager
async def running(
    stage: Stage, config: ModelConfig | None = None, *, turns: Turns | None = None, **members: Any
) -> AsyncIterator[Servable]:
    """A servable at work; afterwards it is closed, and must have left nothing."""
    servable = Servable(
        config or model_config(**{"PollInterval": NEVER, **members}),
        "/base",
        loader=stage.loader,
        turns=turns or Turns(1),
        settings=stage.settings,
        notify=stage.events.put_nowait,
        watch=cast("FolderWatch", stage.watch),
    )
    task = asyncio.create_task(servable.run())
    try:
        yield servable
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await servable.close()
        assert stage.backend.open_models == 0
        assert not any(model.closed_while_running for model in stage.backend.models)
        assert [model.closed for model in stage.backend.models] == [1] * len(stage.backend.models)
        assert list(stage.folder.iterdir()) == []
        assert all(source.closed == stage.opened.count(source) for source in stage.opened)
        assert all(subscription.closed for subscription in stage.watch.subscriptions)


async def closed(deployment: Deployment) -> None:
    """Until a replaced version is gone."""
    await until(lambda: deployment.state is State.CLOSED)


async def test_the_first_version(stage: Stage) -> None:
    """Before it serves, callers are told to come back; afterwards they get it."""
    stage.source()
    async with running(stage) as servable:
        with pytest.raises(NotReady, match="model m does not serve yet: it is loading") as refusal:
            servable.acquire()
        assert refusal.value.retry_after_s
        event = await stage.event(ModelLoaded)
        assert event.deployment is servable.acquire() is servable.deployment
        assert event.replaced is None
        assert servable.error is None
        await servable.attempted.wait()
        assert stage.watch.subscriptions[0].folders == {Path("/fake")}


async def test_nothing_moved_nothing_is_copied(stage: Stage) -> None:
    """A poll costs a listing."""
    source = stage.source()
    async with running(stage):
        await stage.event(ModelLoaded)
        await stage.idle(source, 5)
        assert (source.fetches, len(stage.backend.models)) == (1, 1)


async def test_it_polls_without_any_news(stage: Stage) -> None:
    """Network mounts and remote stores send no events."""
    source = stage.source()
    async with running(stage, PollInterval="1ms"):
        await stage.event(ModelLoaded)
        source.write("2")
        await stage.event(ModelLoaded)


async def test_touched_and_not_changed_nothing_is_loaded(stage: Stage) -> None:
    """A sync that sets new dates must not reload models, and is copied once only."""
    source = stage.source()
    async with running(stage):
        await stage.event(ModelLoaded)
        source.write("1")
        await stage.idle(source, 6)
        assert (source.fetches, len(stage.backend.models)) == (2, 1)
        assert stage.events.empty()
        assert [folder.exists() for folder in source.copies] == [True, False]


async def test_a_new_version_replaces_the_old_which_drains(stage: Stage) -> None:
    """A caller inside the old version keeps it until it leaves; new callers get the new one."""
    source = stage.source()
    async with running(stage) as servable:
        first = (await stage.event(ModelLoaded)).deployment
        with first:
            source.write("2")
            stage.watch.tell()
            assert not first.withdrawn
            event = await stage.event(ModelLoaded)
            assert event.replaced is first
            assert (first.withdrawn, event.deployment.withdrawn) == (True, False)
            assert servable.acquire() is event.deployment
            assert event.deployment.generation != first.generation
            await asyncio.sleep(0)
            assert (first.state, stage.backend.open_models) == (State.DRAINING, 2)
        await closed(first)
        assert stage.backend.contents == ["1", "2"]
        assert stage.backend.open_models == 1
        assert [folder.exists() for folder in source.copies] == [False, True]


def garbage() -> FakeModel:
    raise LoadError("garbage")


@pytest.mark.parametrize("kind", ["load", "listing", "copy", "bug"])
async def test_a_failure_keeps_the_old_version_and_is_healed(kind: str, stage: Stage) -> None:
    """And the cause is kept; when it is gone, the same version is well again without a load."""
    source = stage.source()
    async with running(stage) as servable:
        first = (await stage.event(ModelLoaded)).deployment
        source.write("2")
        if kind == "load":
            stage.backend.make = garbage
        elif kind == "listing":
            source.listing_errors = [SourceError("garbage")]
        elif kind == "copy":
            source.fetch_errors = [SourceError("garbage")]
        else:
            source.fetch_errors = [cast("SetupError", RuntimeError("garbage"))]
        stage.watch.tell()
        failed = await stage.event(ModelFailed)
        assert (failed.serving, failed.repeated) == (first, False)
        assert "garbage" in str(failed.error)
        assert isinstance(failed.error, SourceError if kind in ("listing", "copy") else LoadError)
        assert servable.acquire() is first
        source.write("1")
        stage.backend.make = FakeModel
        while isinstance(event := await stage.events.get(), ModelFailed):
            assert event.repeated
        assert event == ModelRecovered(first)
        assert servable.error is None
        assert stage.backend.contents.count("1") == 1


async def test_a_first_load_that_fails_is_told_to_callers(stage: Stage) -> None:
    """The text says where the cause is, and not the cause: that is the operator's."""
    source = stage.source()
    source.listing_errors = [SourceError("secret place")]
    async with running(stage) as servable:
        failed = await stage.event(ModelFailed)
        assert failed.serving is None
        assert servable.attempted.is_set()
        assert isinstance(servable.error, SourceError)
        with pytest.raises(NotReady, match="its last load failed") as refusal:
            servable.acquire()
        assert "secret" not in str(refusal.value)
        await stage.event(ModelLoaded)


async def test_the_delay_grows_up_to_the_poll_interval(stage: Stage) -> None:
    """A source that is down for a night is not asked a thousand times a second; one that comes back is seen soon."""
    source = stage.source()
    source.listing_errors = [SourceError("down")] * 6 + [SourceError("other")] + [SourceError("down")]
    async with running(stage, PollInterval="10ms"):
        failures = [await stage.event(ModelFailed) for _ in range(8)]
        assert [failure.retry_s for failure in failures] == pytest.approx([0.001, 0.002, 0.004, 0.008, *[0.01] * 4])
        assert [failure.repeated for failure in failures] == [False, *[True] * 5, False, False]
        await stage.event(ModelLoaded)
        source.listing_errors = [SourceError("down")]
        again = await stage.event(ModelFailed)
        assert (again.retry_s, again.repeated) == (pytest.approx(0.001), False)
        await stage.event(ModelRecovered)


async def test_many_failures_do_not_overflow(stage: Stage) -> None:
    """2 to the power of a year of failures is no number of seconds."""
    source = stage.source()
    source.listing_errors = [SourceError("down")] * 40
    async with running(stage, PollInterval="1ms"):
        for _ in range(40):
            assert (await stage.event(ModelFailed)).retry_s <= 0.001


async def test_news_end_the_wait_after_a_failure(stage: Stage) -> None:
    """Whoever mends a model does not want to wait for the back-off."""
    stage.settings = replace(stage.settings, first_retry_s=3600.0)
    source = stage.source()
    source.listing_errors = [SourceError("nothing there")]
    async with running(stage):
        assert (await stage.event(ModelFailed)).retry_s == 3600
        stage.watch.tell()
        await stage.event(ModelLoaded)


async def test_files_that_move_during_the_copy_are_no_failure(stage: Stage) -> None:
    """An upload that goes on is waited for: nobody is woken for it."""
    source = stage.source()
    source.moves_during_fetch = 2
    async with running(stage) as servable:
        await stage.event(ModelLoaded)
        assert (source.fetches, servable.error) == (3, None)


async def test_files_that_always_move_are_a_failure(stage: Stage) -> None:
    """A log file in the model's folder must not keep it from serving without a word."""
    source = stage.source()
    source.moves_during_fetch = 3
    async with running(stage):
        failed = await stage.event(ModelFailed)
        assert "moved while it was copied" in str(failed.error)
        assert source.fetches == 3
        await stage.event(ModelLoaded)


async def test_a_copy_that_fails_where_nothing_moved_fails_at_once(stage: Stage) -> None:
    """Copying three times would only make the failure late."""
    source = stage.source()
    source.fetch_errors = [SourceError("no permission")]
    async with running(stage):
        await stage.event(ModelFailed)
        assert source.fetches == 1
        await stage.event(ModelLoaded)


async def test_another_configuration_of_the_same_artefact(stage: Stage) -> None:
    """It makes a version of its own; the one before serves until then."""
    stage.source()
    async with running(stage) as servable:
        first = (await stage.event(ModelLoaded)).deployment
        servable.configure(model_config(PollInterval=NEVER, CacheVersion="2"), "/base")
        event = await stage.event(ModelLoaded)
        assert event.replaced is first
        assert event.deployment.origin.config.cache_version == "2"
        assert event.deployment.generation != first.generation


async def test_another_url(stage: Stage) -> None:
    """The old source is closed and asked no more."""
    before, after = stage.source(), stage.source("other.fake", "2")
    async with running(stage) as servable:
        await stage.event(ModelLoaded)
        servable.configure(model_config(PollInterval=NEVER, URL="other.fake"), "/base")
        await stage.event(ModelLoaded)
        assert (before.closed, after.fetches) == (1, 1)
        seen = before.listings
        await stage.idle(after, 3)
        assert before.listings == seen


async def test_a_configuration_that_fails_and_is_taken_back(stage: Stage) -> None:
    """What served is what is configured again: well, without a load."""
    stage.source()
    old = model_config(PollInterval=NEVER)
    async with running(stage, old) as servable:
        first = (await stage.event(ModelLoaded)).deployment
        servable.configure(model_config(PollInterval=NEVER, Outputs=[{"Name": "z"}]), "/base")
        failed = await stage.event(ModelFailed)
        assert "Outputs names 'z'" in str(failed.error)
        servable.configure(old, "/base")
        while isinstance(event := await stage.events.get(), ModelFailed):
            pass
        assert event == ModelRecovered(first)


async def test_the_same_failure_of_another_configuration_is_news(stage: Stage) -> None:
    """The operator changed something and must see that it did not help."""
    stage.settings = replace(stage.settings, first_retry_s=3600.0)
    stage.source().listing_errors = [SourceError("down")] * 2
    async with running(stage) as servable:
        assert not (await stage.event(ModelFailed)).repeated
        servable.configure(model_config(PollInterval=NEVER, Threads=2), "/base")
        assert not (await stage.event(ModelFailed)).repeated


async def test_a_new_configuration_ends_the_copying_for_the_old(stage: Stage) -> None:
    """A misspelt URL or ReadyFile may hang for minutes; its correction must not wait for it, nor be mixed with it."""
    slow = stage.source()
    slow.go_on.clear()
    stage.source("other.fake", "2")
    async with running(stage) as servable:
        await slow.fetching.wait()
        servable.configure(model_config(PollInterval=NEVER, URL="other.fake"), "/base")
        event = await stage.event(ModelLoaded)
        assert event.deployment.origin.config.url == "other.fake"
        assert stage.backend.contents == ["2"]
        assert slow.closed == 1


async def test_a_new_configuration_during_the_load(stage: Stage) -> None:
    """The load cannot be stopped; what it makes is of the old configuration alone, and the new one follows."""
    stage.source()
    stage.source("other.fake", "2")
    with Gate() as gate:

        def make() -> FakeModel:
            gate.hold()
            return FakeModel()

        stage.backend.make = make
        async with running(stage) as servable:
            await asyncio.to_thread(gate.wait_for_arrival)
            servable.configure(model_config(PollInterval=NEVER, URL="other.fake"), "/base")
            gate.open()
            old, new = await stage.event(ModelLoaded), await stage.event(ModelLoaded)
            assert [event.deployment.origin.config.url for event in (old, new)] == ["m.fake", "other.fake"]
            assert stage.backend.contents == ["1", "2"]
            assert servable.acquire() is new.deployment


async def test_a_failure_of_a_replaced_configuration_is_nobodys_business(stage: Stage) -> None:
    """It was corrected while it failed."""
    stage.source()
    with Gate() as gate:

        def make() -> FakeModel:
            gate.hold()
            stage.backend.make = FakeModel
            raise LoadError("garbage")

        stage.backend.make = make
        async with running(stage) as servable:
            await asyncio.to_thread(gate.wait_for_arrival)
            servable.configure(model_config(PollInterval=NEVER, CacheVersion="2"), "/base")
            gate.open()
            event = await stage.event(ModelLoaded)
            assert event.deployment.origin.config.cache_version == "2"


async def test_a_new_configuration_while_another_model_loads(stage: Stage) -> None:
    """What waited for its turn is out of date when that comes."""
    source = stage.source()
    turns = Turns(1)
    async with running(stage, turns=turns) as servable:
        async with turns.take("another"):
            await until(lambda: len(source.copies) == 1)
            servable.configure(model_config(PollInterval=NEVER, CacheVersion="2"), "/base")
            assert stage.backend.models == []
        event = await stage.event(ModelLoaded)
        assert event.deployment.origin.config.cache_version == "2"
        assert stage.backend.contents == ["1"]


@pytest.mark.parametrize("where", ["copy", "load"])
async def test_closed_while_busy(where: str, stage: Stage) -> None:
    """A model is taken out of the configuration before it ever served: ``running`` sees that nothing is left."""
    source = stage.source()
    with Gate() as gate:

        def make() -> FakeModel:
            gate.hold()
            return FakeModel()

        if where == "copy":
            source.go_on.clear()
        else:
            stage.backend.make = make
        async with running(stage) as servable:
            await source.fetching.wait()
            if where == "load":
                await asyncio.to_thread(gate.wait_for_arrival)
                asyncio.get_running_loop().call_later(0.01, gate.open)
        assert servable.attempted.is_set()
        assert stage.events.empty()


async def test_versions_that_do_not_end_hold_the_next_back(stage: Stage) -> None:
    """Reloads in a row would otherwise fill memory; the reason is told, and it goes on when one has ended."""
    stage.settings = replace(stage.settings, drain_s=0.02)
    source = stage.source()
    with Gate() as gate:
        stage.backend.make = lambda: FakeModel(gate)
        async with running(stage) as servable:
            runs = []
            for number in range(MAX_DRAINING + 1):
                loaded = await stage.event(ModelLoaded)
                runs.append(asyncio.create_task(run_once(loaded.deployment)))
                await asyncio.to_thread(gate.wait_for_arrival)
                source.write(str(number + 2))
                stage.watch.tell()
            failed = await stage.event(ModelFailed)
            assert f"{MAX_DRAINING} earlier versions still run" in str(failed.error)
            assert servable.acquire() is loaded.deployment
            assert stage.backend.open_models == MAX_DRAINING + 1
            gate.open()
            while isinstance(event := await stage.events.get(), ModelFailed):
                pass
            assert isinstance(event, ModelLoaded)
            await asyncio.gather(*runs)


async def run_once(deployment: Deployment) -> None:
    with deployment:
        await deployment.predict(rows(x=[1]), context())


async def test_a_version_that_does_not_close_cleanly_is_told(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """And does not end the servable."""
    source = stage.source()

    class Stuck(FakeModel):
        def close(self) -> None:
            super().close()
            raise OSError("device busy")

    stage.backend.make = Stuck
    async with running(stage):
        first = (await stage.event(ModelLoaded)).deployment
        source.write("2")
        stage.watch.tell()
        await stage.event(ModelLoaded)
        await closed(first)
    assert caplog.text.count("did not close cleanly") == 2
    assert "device busy" in caplog.text


def warmable() -> FakeView:
    """A cache with three hot rows, each another power of ten."""
    return FakeView(not_cached=None, hot=["10.0", "100.0", "1000.0"])


async def test_a_new_version_is_warmed_before_it_is_published(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """The swap would send all traffic to the model at once; the old version serves meanwhile."""
    caplog.set_level(logging.INFO, "mlserve")
    source = stage.source()
    stage.assembler.view = warmable
    async with running(stage) as servable:
        first = await stage.event(ModelLoaded)
        assert stage.backend.models[0].calls == []
        with Gate() as gate:
            stage.backend.make = lambda: FakeModel(gate)
            source.write("2")
            stage.watch.tell()
            await asyncio.to_thread(gate.wait_for_arrival)
            assert servable.acquire() is first.deployment
            gate.open()
            second = await stage.event(ModelLoaded)
        assert second.replaced is first.deployment
        assert [call["x"].tolist() for call in stage.backend.models[1].calls] == [[10, 100, 1000]]
        assert "m: warmed the new version with 3 rows" in caplog.text
        await closed(first.deployment)


async def test_a_version_that_cannot_be_warmed_is_published_all_the_same(stage: Stage) -> None:
    """Warm rows are a kindness, not a condition."""
    source = stage.source()
    stage.assembler.view = warmable
    async with running(stage):
        first = await stage.event(ModelLoaded)

        def broken(inputs: Mapping[str, Array]) -> dict[str, Array]:
            raise ValueError("no such row")

        stage.backend.make = lambda: FakeModel(broken)
        source.write("2")
        stage.watch.tell()
        assert (await stage.event(ModelLoaded)).replaced is first.deployment
        await closed(first.deployment)


async def test_a_stop_during_the_warm_up_leaves_nothing(stage: Stage) -> None:
    """The version that was being warmed is closed too, after its run."""
    source = stage.source()
    stage.assembler.view = warmable
    gate = Gate()
    async with running(stage) as servable:
        first = await stage.event(ModelLoaded)
        stage.backend.make = lambda: FakeModel(gate)
        source.write("2")
        stage.watch.tell()
        await asyncio.to_thread(gate.wait_for_arrival)
        assert servable.deployment is first.deployment
        asyncio.get_running_loop().call_later(0.05, gate.open)
    assert stage.events.empty()
