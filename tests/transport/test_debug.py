"""A profile would end up with strangers, run for ever, or slow a server down for good, if these failed."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mlserve.errors import BadRequest, Overloaded, UnknownRoute
from mlserve.observe.profile import Profile
from mlserve.transport.debug import Debug
from tests.support.eval_requests import request
from tests.support.exercised import FakeStats

PROFILE = "/v1/api/debug/pprof/profile"
MEMORY = "/v1/api/debug/memprof"


class FakeProfiler:
    """Runs until it is stopped or released; remembers for how long it was asked to."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.running = threading.Event()
        self.release = threading.Event()
        self.ended = threading.Event()
        self.told_to_stop = False

    def __call__(self, seconds: float, stop: threading.Event) -> Profile:
        self.asked.append(seconds)
        self.running.set()
        while not (self.release.is_set() or stop.is_set()):
            self.release.wait(0.001)
        self.told_to_stop = stop.is_set()
        self.ended.set()
        return Profile({("main", "a.f"): 1.0}, seconds, 100, on_cpu=True, process_s=1.0)


def debug(profiler: FakeProfiler | None = None, *, cpu: bool = True, memory: bool = True) -> Debug:
    if profiler is None:
        profiler = FakeProfiler()
        profiler.release.set()
    return Debug(cpu=cpu, memory=memory, datastores=lambda: {"hot": FakeStats()}, profiler=profiler)


class TestSwitches:
    async def test_what_is_off_says_how_to_switch_it_on(self) -> None:
        """Instead of a bare 404, which looks like a wrong version."""
        with pytest.raises(UnknownRoute, match="EnableCPUProf: true"):
            await debug(cpu=False).profile(request(PROFILE))
        with pytest.raises(UnknownRoute, match="EnableMemProf: true"):
            await debug(memory=False).memory(request(MEMORY))

    async def test_each_has_its_own(self) -> None:
        """As the configuration has two."""
        assert (await debug(memory=False).profile(request(PROFILE))).status == 200
        assert (await debug(cpu=False).memory(request(MEMORY))).status == 200


class TestAnswers:
    async def test_a_page_that_may_load_and_run_nothing(self) -> None:
        """Whatever ends up in it."""
        response = await debug().profile(request(PROFILE))
        assert response.content_type == "text/html; charset=utf-8"
        assert b"a.f" in response.body
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert "script" not in response.headers["Content-Security-Policy"]

    async def test_a_snapshot_that_is_saved(self) -> None:
        """As an attachment, as in mly."""
        response = await debug().memory(request(MEMORY))
        assert response.content_type == "text/plain; charset=utf-8"
        assert response.headers["Content-Disposition"] == 'attachment; filename="memprof.txt"'
        assert b"hot" in response.body

    async def test_a_head_takes_no_profile(self) -> None:
        """Nobody would see it."""
        profiler = FakeProfiler()
        assert (await debug(profiler).profile(request(PROFILE, method="HEAD"))).status == 200
        assert (await debug(profiler).memory(request(MEMORY, method="HEAD"))).status == 200
        assert profiler.asked == []


class TestSeconds:
    @pytest.mark.parametrize(
        ("query", "seconds"), [("", 10), ("seconds=1", 1), ("seconds=60", 60), ("a=b&seconds=7", 7)]
    )
    async def test_as_asked(self, query: str, seconds: int) -> None:
        """Ten if nothing is said."""
        profiler = FakeProfiler()
        profiler.release.set()
        await debug(profiler).profile(request(PROFILE, query))
        assert profiler.asked == [seconds]

    @pytest.mark.parametrize("text", ["0", "61", "-1", "1.5", "1e1", "", "ten", "9" * 5000, "٣", "%00"])
    async def test_nonsense_is_told(self, text: str) -> None:
        """With what is right."""
        with pytest.raises(BadRequest, match="from 1 to 60"):
            await debug().profile(request(PROFILE, f"seconds={text}"))

    async def test_a_snapshot_traces_for_at_most_a_minute(self) -> None:
        """Tracing makes every allocation slower."""
        with pytest.raises(BadRequest, match="from 0 to 60"):
            await debug().memory(request(MEMORY, "seconds=61"))


class TestOneAtATime:
    async def test_a_second_one_is_refused(self) -> None:
        """At once, and both kinds share the turn."""
        profiler = FakeProfiler()
        made = debug(profiler)
        first = asyncio.create_task(made.profile(request(PROFILE)))
        await asyncio.to_thread(profiler.running.wait)
        for ask in (made.profile(request(PROFILE)), made.memory(request(MEMORY))):
            with pytest.raises(Overloaded, match="one at a time"):
                await ask
        profiler.release.set()
        assert (await first).status == 200
        assert (await made.memory(request(MEMORY))).status == 200

    async def test_the_loop_stays_free_meanwhile(self) -> None:
        """Requests go on; that is what is profiled."""
        profiler = FakeProfiler()
        asked = asyncio.create_task(debug(profiler).profile(request(PROFILE)))
        await asyncio.to_thread(profiler.running.wait)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not asked.done()
        profiler.release.set()
        await asked

    async def test_a_caller_that_leaves_ends_it(self) -> None:
        """The thread is gone when the request is, and the next may come."""
        profiler = FakeProfiler()
        made = debug(profiler)
        asked = asyncio.create_task(made.profile(request(PROFILE)))
        await asyncio.to_thread(profiler.running.wait)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert profiler.told_to_stop
        assert (await made.memory(request(MEMORY))).status == 200

    async def test_a_failure_gives_the_turn_back(self) -> None:
        """The error is the caller's."""

        def fail(seconds: float, stop: threading.Event) -> Profile:
            raise OSError("no more threads")

        made = Debug(cpu=True, memory=True, datastores=dict, profiler=fail)
        with pytest.raises(OSError, match="no more threads"):
            await made.profile(request(PROFILE))
        assert (await made.memory(request(MEMORY))).status == 200
