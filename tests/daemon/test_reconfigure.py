"""The configuration while the server runs: a bad file must change nothing and be told once, a good one must apply."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from mlserve.config.load import LoadedConfig, load_config
from mlserve.daemon.reconfigure import ConfigKeeper
from mlserve.sources.source import Source
from mlserve.sources.watch import FolderWatch
from tests.support.loading import until
from tests.support.sources import FakeWatch

FIRST = "Models: [{ID: a, URL: a.onnx}]\n"
SECOND = "Models: [{ID: a, URL: a.onnx}, {ID: b, URL: b.onnx}]\n"


class Stage:
    """A configuration file, its keeper, and what the keeper applied."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.file = folder / "config.yaml"
        self.file.write_text(FIRST)
        self.applied: list[LoadedConfig] = []
        self.watch = FakeWatch()
        self.looks = 0
        self.hold = asyncio.Event()
        self.hold.set()
        self.keeper = ConfigKeeper(
            load_config(str(self.file)),
            self.applied.append,
            cast("FolderWatch", self.watch),
            **{"poll_s": 3600.0, "settle": self._settle, **options},
        )

    async def _settle(self, source: Source) -> None:
        self.looks += 1
        await self.hold.wait()
        await source.listing()

    def ids(self) -> list[list[str]]:
        return [[model.id for model in loaded.config.models] for loaded in self.applied]


@pytest.fixture
async def stage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Stage]:
    caplog.set_level(logging.INFO, "mlserve")
    stage = await asyncio.to_thread(Stage, tmp_path)
    yield stage
    await stage.keeper.close()
    assert stage.watch.subscriptions[0].closed


async def test_a_changed_file_is_applied_once(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Looking again at the same file must not reload anything."""
    stage.file.write_text(SECOND)
    await stage.keeper.refresh()
    await stage.keeper.refresh()
    assert stage.ids() == [["a", "b"]]
    assert caplog.text.count("config.yaml applied") == 1
    stage.file.write_text(FIRST)
    await stage.keeper.refresh()
    assert stage.ids() == [["a", "b"], ["a"]]


async def test_comments_and_order_are_no_change(stage: Stage) -> None:
    """A change is what means something else."""
    stage.file.write_text("# a comment\nmodels:\n- url: a.onnx\n  id: a\n")
    await stage.keeper.refresh()
    assert stage.applied == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Models: [{ID: a, URL: a.onnx}", "config.yaml:"),
        ("Models: [{ID: a, URL: a.onnx, Tgas: [x]}]\n", "Tgas"),
        ("", "the file is empty"),
        ("Models: []\n", "at least one model"),
        ("Endpoint: {Port: 8080}\n", "at least one model"),
    ],
)
async def test_a_file_that_cannot_be_used_changes_nothing(
    text: str, words: str, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once, with its place; and so is that it is valid again."""
    stage.file.write_text(text)
    await stage.keeper.refresh()
    await stage.keeper.refresh()
    assert stage.applied == []
    assert caplog.text.count("the changed configuration is not used, the one before it goes on") == 1
    assert words in caplog.text
    stage.file.write_text(FIRST)
    await stage.keeper.refresh()
    await stage.keeper.refresh()
    assert stage.applied == []
    assert caplog.text.count("config.yaml is valid again") == 1


async def test_another_mistake_is_told_too(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """The operator corrected one and made the next."""
    for text in ("Modles: []\n", "Models: [{URL: a.onnx}]\n", "Modles: []\n"):
        stage.file.write_text(text)
        await stage.keeper.refresh()
    assert caplog.text.count("is not used") == 3


async def test_a_file_that_vanishes_and_comes_back(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """A mount that is away for a while is no reason to stop serving."""
    stage.file.unlink()
    await stage.keeper.refresh()
    await stage.keeper.refresh()
    assert caplog.text.count("nothing is at") == 1
    stage.file.write_text(SECOND)
    await stage.keeper.refresh()
    assert "is valid again" in caplog.text
    assert stage.ids() == [["a", "b"]]


@pytest.mark.parametrize(
    ("text", "section"),
    [
        ("Endpoint: {Port: 1}\n", "Endpoint"),
        ("TLS: {CertFile: a, KeyFile: b}\n", "TLS"),
        ("Metrics: {Prometheus: {}}\n", "Metrics"),
        ("EnableMemProf: true\n", "EnableMemProf"),
        ("EnableCPUProf: true\n", "EnableCPUProf"),
    ],
)
async def test_what_needs_a_restart_is_named(
    text: str, section: str, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """By the name in the file, once; the rest applies; back to what runs, there is nothing to say."""
    stage.file.write_text(SECOND + text)
    await stage.keeper.refresh()
    stage.file.write_text(FIRST + text)
    await stage.keeper.refresh()
    stage.file.write_text(FIRST)
    await stage.keeper.refresh()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [f"{section} changed: it takes effect at the next start"]
    assert stage.ids() == [["a", "b"], ["a"], ["a"]]


async def test_new_keys_without_effect_are_told(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """As at a start; those that were there already were told then."""
    stage.file.write_text("Models: [{ID: a, URL: a.onnx, Debug: true}]\n")
    await stage.keeper.refresh()
    stage.file.write_text("Models: [{ID: a, URL: other.onnx, Debug: true}]\n")
    await stage.keeper.refresh()
    assert caplog.text.count("has no effect here") == 1


async def test_secrets_stay_out_of_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A configuration with a mistake often holds passwords beside it."""
    stage = await asyncio.to_thread(Stage, tmp_path)
    stage.file.write_text(FIRST + "Connections: [{ID: c, URL: 'redis://u:hunter2@h:1/0', Prot: 1}]\n")
    await stage.keeper.refresh()
    assert "Prot" in caplog.text
    assert "hunter2" not in caplog.text
    await stage.keeper.close()


class Running:
    """The keeper's task, as the process owns it."""

    def __init__(self, keeper: ConfigKeeper) -> None:
        self._task = asyncio.create_task(keeper.run())

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        assert self._task.cancelled()


async def test_it_looks_when_it_is_woken(stage: Stage) -> None:
    """SIGHUP, news from the folder: both mean "look again", and one after the other is seen."""
    running = Running(stage.keeper)
    stage.file.write_text(SECOND)
    stage.keeper.wake()
    await until(lambda: stage.ids() == [["a", "b"]])
    stage.file.write_text(FIRST)
    stage.watch.tell()
    await until(lambda: stage.ids() == [["a", "b"], ["a"]])
    await running.stop()


async def test_news_during_a_look_are_not_lost(stage: Stage) -> None:
    """The file changes again while the change before it still settles."""
    running = Running(stage.keeper)
    stage.hold.clear()
    stage.keeper.wake()
    await until(lambda: stage.looks == 1)
    stage.keeper.wake()
    stage.hold.set()
    await until(lambda: stage.looks == 2)
    await running.stop()


async def test_it_polls_without_news(tmp_path: Path) -> None:
    """Remote files and network mounts send none."""
    stage = await asyncio.to_thread(lambda: Stage(tmp_path, poll_s=0.01))
    running = Running(stage.keeper)
    stage.file.write_text(SECOND)
    await until(lambda: stage.ids() == [["a", "b"]])
    await running.stop()
    await stage.keeper.close()


async def test_closed_while_busy(stage: Stage) -> None:
    """A stop does not wait for a file that does not settle; nothing is applied any more."""
    running = Running(stage.keeper)
    stage.hold.clear()
    stage.file.write_text(SECOND)
    stage.keeper.wake()
    await until(lambda: stage.looks == 1)
    await running.stop()
    assert stage.applied == []


async def test_a_fault_of_ours_does_not_end_the_watch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The configuration would be deaf for the rest of the process."""
    stage = await asyncio.to_thread(Stage, tmp_path)
    faults = [ZeroDivisionError("ours")]

    def apply(loaded: LoadedConfig) -> None:
        if faults:
            raise faults.pop()
        stage.applied.append(loaded)

    stage.keeper._apply = apply
    running = Running(stage.keeper)
    stage.file.write_text(SECOND)
    stage.keeper.wake()
    await until(lambda: "unexpected failure while reading" in caplog.text)
    stage.keeper.wake()
    await until(lambda: stage.ids() == [["a", "b"]])
    await running.stop()
    await stage.keeper.close()


async def test_a_file_replaced_by_an_editor_is_seen_and_settles(tmp_path: Path) -> None:
    """With the real watch and the real wait; what is cut short in between is valid YAML, and is not applied."""
    file = tmp_path / "config.yaml"
    file.write_text(SECOND)
    applied: list[list[str]] = []
    watch = FolderWatch()
    loaded = await asyncio.to_thread(load_config, str(file))
    keeper = ConfigKeeper(loaded, lambda new: applied.append([model.id for model in new.config.models]), watch)
    running = Running(keeper)
    file.write_text("Models:\n  - {ID: c, URL: c.onnx}\n")
    await asyncio.sleep(0.3)  # an upload that pauses
    staged = tmp_path / ".config.yaml.swp"
    staged.write_text("Models:\n  - {ID: c, URL: c.onnx}\n  - {ID: d, URL: d.onnx}\n")
    os.replace(staged, file)
    await until(lambda: applied == [["c", "d"]])
    await running.stop()
    await keeper.close()
    await watch.close()
