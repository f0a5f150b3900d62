"""A profile would blame the wrong code, or hang, if these failed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep

import pytest

from mlserve.observe.profile import MAX_DEPTH, ThreadTimes, take_profile


@contextmanager
def thread(name: str, work: object) -> Iterator[None]:
    stop = threading.Event()
    running = threading.Thread(target=work, args=(stop,), name=name)  # type: ignore[arg-type]  # either work below
    running.start()
    try:
        yield
    finally:
        stop.set()
        running.join()


def spins(stop: threading.Event) -> None:
    while not stop.is_set():
        sum(range(1000))


def bursts(stop: threading.Event) -> None:
    while not stop.is_set():
        burst()
        sleep(0)  # gives way, as a loop does at its system calls


def burst() -> None:
    for _ in range(10_000):
        pass


def waits(stop: threading.Event) -> None:
    stop.wait()


def deep(stop: threading.Event, left: int = 2 * MAX_DEPTH) -> None:
    if left:
        deep(stop, left - 1)
    else:
        spins(stop)


class Untold(ThreadTimes):
    """A system that does not tell threads' times."""

    def used_s(self, native_id: int) -> float | None:
        return None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells threads' times")
def test_time_is_booked_on_who_works_not_on_who_waits() -> None:
    """Outermost call first, under the thread's name; about as much as the process used."""
    with thread("worker-1", spins), thread("idler", waits):
        profile = take_profile(0.3, threading.Event())
    assert profile.on_cpu
    assert 0.3 <= profile.seconds < 5
    assert 1 < profile.looks <= 31
    mine = {stack: spent for stack, spent in profile.stacks.items() if stack[0] == "worker-1"}
    assert sum(mine.values()) > 0.5 * sum(profile.stacks.values())
    assert all(stack[1:4] == ("threading.Thread._bootstrap", "threading.Thread._bootstrap_inner",
                              "threading.Thread.run") for stack in mine)  # fmt: skip
    assert any(stack[4].endswith("test_profile.spins") for stack in mine)
    idle = sum(spent for stack, spent in profile.stacks.items() if stack[0] == "idler")
    assert idle < 0.05 * sum(mine.values())
    assert sum(profile.stacks.values()) <= profile.process_s + 0.05


def test_code_that_gives_way_elsewhere_is_found_where_it_works() -> None:
    """Else an event loop would show as nothing but its system calls."""
    before = sys.getswitchinterval()
    with thread("worker-1", bursts):
        profile = take_profile(0.3, threading.Event(), Untold)
    assert "burst" in {stack[-1].rpartition(".")[2] for stack in profile.stacks if stack[0] == "worker-1"}
    assert sys.getswitchinterval() == before


def test_without_threads_times_every_look_counts_alike() -> None:
    """And the profile says so."""
    with thread("idler", waits):
        profile = take_profile(0.1, threading.Event(), Untold)
    assert not profile.on_cpu
    spent = sum(seconds for stack, seconds in profile.stacks.items() if stack[0] == "idler")
    assert spent == pytest.approx(profile.seconds, abs=0.05)


def test_it_ends_when_it_is_told_to() -> None:
    """A caller that left need not be waited for."""
    stop = threading.Event()
    stop.set()
    began = monotonic()
    assert take_profile(60, stop).looks == 1
    assert monotonic() - began < 5


def test_deep_stacks_keep_their_outer_end() -> None:
    """Recursion must not fill memory, nor lose where it came from."""
    with thread("deep", deep):
        profile = take_profile(0.1, threading.Event(), Untold)
    stacks = [stack for stack in profile.stacks if stack[0] == "deep"]
    assert stacks
    assert all(len(stack) == 1 + MAX_DEPTH and stack[1] == "threading.Thread._bootstrap" for stack in stacks)


def test_the_profiler_does_not_show_itself() -> None:
    """It is busy all the time."""
    profile = take_profile(0.05, threading.Event(), Untold)
    assert not [stack for stack in profile.stacks if any("take_profile" in name for name in stack)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells threads' times")
def test_a_thread_that_has_ended_has_no_time() -> None:
    """Between the look at the stacks and that at the clock, any thread may end."""
    ended = threading.Thread(target=lambda: None)
    ended.start()
    ended.join()
    assert ended.native_id is not None
    times, deadline = ThreadTimes(), monotonic() + 10
    while times.used_s(ended.native_id) is not None:  # the system's thread ends a moment after Python's
        assert monotonic() < deadline
