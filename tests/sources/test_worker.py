"""A file system that hangs must cost one thread and a line in the log, not the server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mlserve.errors import SourceError
from mlserve.sources.place import Beat
from mlserve.sources.worker import Stopped, Worker


class Hanging:
    """A call that blocks until released, as a read from a dead mount does, then sees whether it is still wanted."""

    def __init__(self, beats: bool = True) -> None:
        self.started = threading.Event()
        self.release = threading.Event()
        self.ended: threading.Event = threading.Event()
        self.stopped = False
        self._beats = beats

    def __call__(self, beat: Beat) -> str:
        self.started.set()
        self.release.wait(30)
        try:
            if self._beats:
                beat()
        except Stopped:
            self.stopped = True
            raise
        finally:
            self.ended.set()
        return "late"


@contextmanager
def hanging(beats: bool = True) -> Iterator[Hanging]:
    call = Hanging(beats)
    try:
        yield call
    finally:
        call.release.set()
        assert call.ended.wait(5) or not call.started.is_set()


async def until(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 5)


async def test_results_and_errors_come_back() -> None:
    """The plain journey."""
    worker = Worker("w", timeout_s=5)
    assert await worker.run("add", lambda beat: 1 + 1) == 2
    with pytest.raises(ZeroDivisionError):
        await worker.run("divide", lambda beat: 1 // 0)
    await worker.close()


async def test_silence_ends_at_the_deadline_and_the_next_call_fails_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """A dead mount polled each minute would otherwise pile up threads."""
    worker = Worker("nfs", timeout_s=0.05)
    with hanging() as call:
        with pytest.raises(SourceError, match=r"listing gave no sign of life for 0.05 s"):
            await worker.run("listing", call)
        assert "nfs: listing hangs; its thread is left behind" in caplog.text
        with pytest.raises(SourceError, match="an earlier listing still hangs"):
            await worker.run("listing", lambda beat: None)
    assert call.stopped
    assert await worker.run("listing", lambda beat: "back") == "back"


async def test_signs_of_life_move_the_deadline() -> None:
    """A copy of 16 GB takes longer than any fixed deadline."""
    worker = Worker("w", timeout_s=0.2)
    pause = threading.Event()

    def slow(beat: Beat) -> str:
        for _ in range(8):
            pause.wait(0.05)
            beat()
        return "done"

    assert await worker.run("copying", slow) == "done"


async def test_a_cancelled_caller_stops_the_call() -> None:
    """A model removed from the configuration must not go on downloading."""
    worker = Worker("w", timeout_s=30)
    with hanging() as call:
        task = asyncio.create_task(worker.run("copying", call))
        await until(call.started)
        task.cancel()
        await asyncio.sleep(0)  # the cancellation arrives
        call.release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert call.stopped


async def test_a_result_that_nobody_takes_is_discarded() -> None:
    """A copy finished in the instant of the cancellation would stay on the disk for ever."""
    worker = Worker("w", timeout_s=30)
    discarded, thrown = threading.Event(), []
    with hanging(beats=False) as call:
        task = asyncio.create_task(
            worker.run("copying", call, discard=lambda made: (thrown.append(made), discarded.set()))
        )
        await until(call.started)
        task.cancel()
        call.release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(discarded)
    assert thrown == ["late"]


async def test_closed_while_busy() -> None:
    """Shutdown waits a moment for a call that heeds it, and refuses new ones."""
    worker = Worker("w", timeout_s=30)
    with hanging() as call:
        task = asyncio.create_task(worker.run("copying", call))
        await until(call.started)
        closing = asyncio.create_task(worker.close())
        await asyncio.sleep(0)  # the close begins
        call.release.set()
        await closing
        with pytest.raises(SourceError, match="closed during copying"):
            await task
        with pytest.raises(SourceError, match="closed source"):
            await worker.run("listing", lambda beat: None)


async def test_closed_while_hung(caplog: pytest.LogCaptureFixture) -> None:
    """A thread that hangs must not hold up the shutdown nor whoever waits for it."""
    worker = Worker("nfs", timeout_s=30)
    with hanging() as call:
        task = asyncio.create_task(worker.run("copying", call))
        await until(call.started)
        async with asyncio.timeout(5):
            await worker.close()
            with pytest.raises(SourceError, match="closed during copying"):
                await task
    assert "left behind" in caplog.text
