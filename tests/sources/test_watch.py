"""A model that was replaced goes live within two seconds only if somebody notices: real events, real folders."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import watchfiles

from mlserve.sources.watch import FolderWatch, Subscription
from tests.support.model_source import write

LIMIT_S = 2.0


@asynccontextmanager
async def watching(**options: Any) -> AsyncIterator[FolderWatch]:
    watch = FolderWatch(**options)
    try:
        yield watch
    finally:
        await watch.close()


async def news(subscription: Subscription) -> None:
    """Wait for news and forget it; the limit is what the contract promises."""
    async with asyncio.timeout(LIMIT_S):
        await subscription.moved.wait()
    subscription.moved.clear()


class Barrier:
    """Lets a test say "all news so far has been told".

    One thread tells news in order; its own folder's news, three times over, comes after whatever was under way,
    the start of a new watcher included.
    """

    def __init__(self, watch: FolderWatch, tmp_path: Path) -> None:
        self._folder = write(tmp_path / "barrier", {"x": b""})
        self._subscription = watch.subscribe([self._folder])
        self._count = 0

    async def passed(self, *subscriptions: Subscription) -> None:
        for _ in range(3):
            self._count += 1
            write(self._folder, {"x": b"1" * self._count})
            await news(self._subscription)
        for subscription in subscriptions:
            subscription.moved.clear()


def refusing(*_: object, **__: object) -> Iterator[Collection[tuple[Any, str]]]:
    raise OSError("OS file watch limit reached")


watchers = pytest.mark.parametrize("options", [{}, {"watch": refusing, "poll_s": 0.05}], ids=["events", "polling"])


@watchers
async def test_every_kind_of_change_is_told(options: dict[str, Any], tmp_path: Path) -> None:
    """New, written, replaced, removed; the same whether the system tells or we poll."""
    folder = write(tmp_path / "m", {"model": b"1"})
    async with watching(**options) as watch:
        subscription = watch.subscribe([folder])
        await news(subscription)  # a new subscriber is always told to look
        barrier = Barrier(watch, tmp_path)
        steps: list[Callable[[], object]] = [
            lambda: write(folder, {"model": b"22"}),
            lambda: write(folder, {"new": b"1"}),
            lambda: (folder / "new").rename(folder / "model"),
            lambda: (folder / "..data").symlink_to("elsewhere"),
            lambda: (folder / "model").unlink(),
        ]
        for step in steps:
            await barrier.passed(subscription)
            step()
            await news(subscription)


@watchers
async def test_a_folder_that_comes_goes_and_comes_back(options: dict[str, Any], tmp_path: Path) -> None:
    """An inotify watch dies with its folder; the next folder of that name is another one."""
    folder = tmp_path / "not" / "yet" / "there"
    async with watching(**options) as watch:
        barrier = Barrier(watch, tmp_path)
        subscription = watch.subscribe([folder])
        await news(subscription)
        for _ in range(2):
            await barrier.passed(subscription)
            write(folder, {"model": b"1"})
            await news(subscription)
            await barrier.passed(subscription)
            write(folder, {"model": b"22"})
            await news(subscription)
            shutil.rmtree(tmp_path / "not")
            await news(subscription)
        (tmp_path / "not").write_bytes(b"a file now")
        write(tmp_path / "v2", {"model": b"1"})
        await barrier.passed(subscription)
        (tmp_path / "not").unlink()
        (tmp_path / "not/yet").mkdir(parents=True)
        (tmp_path / "v2").rename(folder)
        await news(subscription)


async def test_others_are_left_alone(tmp_path: Path) -> None:
    """A hundred models in a hundred folders must not all list when one moves; nor below, nor beside."""
    one, two = write(tmp_path / "one", {"m": b"", "sub/m": b""}), write(tmp_path / "two", {"m": b""})
    async with watching() as watch:
        first, second = watch.subscribe([one]), watch.subscribe([two, tmp_path / "absent/deep"])
        barrier = Barrier(watch, tmp_path)
        await barrier.passed(first, second)
        write(one, {"sub/m": b"1"})
        write(tmp_path, {"beside": b"1"})
        write(two, {"m": b"1"})
        await news(second)
        assert not first.moved.is_set()
        first.close()
        await barrier.passed(second)
        write(one, {"m": b"1"})
        write(two, {"m": b"22"})
        await news(second)
        assert not first.moved.is_set()


async def test_folders_can_change_while_running(tmp_path: Path) -> None:
    """A flipped link points to another folder, whose events matter from then on."""
    old, new = write(tmp_path / "old", {"m": b""}), write(tmp_path / "new", {"m": b""})
    async with watching() as watch:
        barrier = Barrier(watch, tmp_path)
        subscription = watch.subscribe([old])
        await barrier.passed(subscription)
        subscription.update([new])
        await news(subscription)  # something may have moved before the watcher was there
        await barrier.passed(subscription)
        write(old, {"m": b"1"})
        await barrier.passed()
        assert not subscription.moved.is_set()
        write(new, {"m": b"1"})
        await news(subscription)


async def test_who_joins_a_watched_folder_looks_again(tmp_path: Path) -> None:
    """What moved between a model's look and its subscription would go unseen if another model has the same folder."""
    folder = write(tmp_path / "shared", {"m": b""})
    async with watching() as watch:
        barrier = Barrier(watch, tmp_path)
        first, second = watch.subscribe([folder]), watch.subscribe(())
        await barrier.passed(first)
        second.update([folder])
        assert second.moved.is_set()
        second.moved.clear()
        await barrier.passed()
        assert not first.moved.is_set(), "it knows already"
        second.close()
        second.close()
        write(folder, {"m": b"1"})
        await news(first)
        assert not second.moved.is_set()


async def test_many_folders_that_come_start_few_watchers(tmp_path: Path) -> None:
    """Each start looks at every folder, and has every model look: a thousand models would do so a thousand times."""
    starts = []

    def counted(*folders: str, **options: Any) -> Iterator[Collection[tuple[Any, str]]]:
        starts.append(len(folders))
        return watchfiles.watch(*folders, **options)

    folders = [write(tmp_path / str(number), {"m": b""}) for number in range(50)]
    async with watching(watch=counted) as watch:
        subscriptions = [watch.subscribe(()) for _ in folders]
        for subscription, folder in zip(subscriptions, folders, strict=True):
            subscription.update([folder])
            await asyncio.sleep(0.002)  # as models load, one after the other
        for subscription in subscriptions:
            await news(subscription)
    assert starts[-1] == len(folders)
    assert len(starts) < 10


async def test_a_failing_watcher_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Out of inotify watches: one line that says so, and the server goes on."""
    caplog.set_level(logging.WARNING)
    async with watching(watch=refusing, poll_s=0.02) as watch:
        for name in "ab":
            subscription = watch.subscribe([tmp_path / name])
            await news(subscription)
    assert caplog.messages == ["cannot watch folders (OSError: OS file watch limit reached); polling them instead"]


async def test_a_watcher_that_breaks_later(tmp_path: Path) -> None:
    """It may also fail in the middle of its life."""

    def breaking(*paths: str, **options: Any) -> Iterator[Collection[tuple[Any, str]]]:
        for changes in watchfiles.watch(*paths, **options):
            yield changes
            if changes:
                raise RuntimeError("the watcher died")

    async with watching(watch=breaking, poll_s=0.02) as watch:
        subscription = watch.subscribe([tmp_path])
        await news(subscription)
        for content in (b"1", b"22", b"333"):
            write(tmp_path, {"m": content})
            await news(subscription)


async def test_close_while_busy_and_idle(tmp_path: Path) -> None:
    """Shutdown ends the thread, whether or not it ever had something to watch; twice is no harm."""
    idle = FolderWatch()
    await idle.close()
    busy = FolderWatch()
    subscription = busy.subscribe([tmp_path])
    subscription.close()
    subscription = busy.subscribe([tmp_path])
    await busy.close()
    await busy.close()
    subscription.close()
    with pytest.raises(RuntimeError, match="closed"):
        busy.subscribe([tmp_path])


async def test_close_while_hung(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead mount must not hold up the shutdown."""
    monkeypatch.setattr("mlserve.sources.watch._CLOSE_S", 0.05)
    hangs, release = threading.Event(), threading.Event()

    def hanging(*_: str, **__: Any) -> Iterator[Collection[tuple[Any, str]]]:
        hangs.set()
        release.wait(30)
        yield set()

    watch = FolderWatch(watch=hanging)
    watch.subscribe([tmp_path])
    await asyncio.to_thread(hangs.wait, 10)
    await watch.close()
    release.set()
    assert "watching 1 folders hangs; its thread is left behind" in caplog.text
