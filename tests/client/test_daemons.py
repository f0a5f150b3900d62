"""The client against real servers: killed, restarted and reloaded under load, with caches on both sides."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mlserve.client import NO_CACHE, AsyncClient, Cache, Client
from mlserve.errors import BadRequest, UnknownModel
from tests.support.daemon import Daemon, running
from tests.support.versions import publish, write_version

TASKS = 50
CONFIG = """
Models:
  - {ID: m, URL: m.onnx, DataStore: hot}
  - {ID: bare, URL: m.onnx}
Datastores:
  - {ID: hot, Cache: {SizeMB: 4}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_version(tmp_path / "m.onnx", 1)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def daemon(folder: Path) -> Iterator[Daemon]:
    with running(folder / "config.yaml") as daemon:
        yield daemon


async def test_rows_come_typed_and_once(daemon: Daemon) -> None:
    """Types, keys and documents are the server's own: an answer kept here is the answer it would give."""
    async with AsyncClient(daemon.url) as client:
        one = await client.eval("m", x=1)
        assert (one.data, dict(one.sources)) == ({"a": 2.0, "b": 2.0}, {"server": 1})
        again = await client.eval("m", x=1.0)
        assert (again.data, dict(again.sources), again.dict_hash) == (one.data, {"local": 1}, one.dict_hash)
        many = await client.eval("m", {"x": [1, 2, 3]})
        assert many["a"].dtype == np.float32
        assert (many["a"].tolist(), dict(many.sources)) == ([2.0, 3.0, 4.0], {"local": 1, "server": 2})
        rows = await client.eval("m", [{"x": 3}, {"x": 0.1}])
        assert (rows["b"].tolist(), dict(rows.sources)) == ([4.0, np.float32(1.1)], {"local": 1, "server": 1})


async def test_what_the_server_does_not_keep_is_not_kept_here(daemon: Daemon) -> None:
    async with AsyncClient(daemon.url) as client:
        for _ in range(2):
            assert dict((await client.eval("bare", x=1)).sources) == {"server": 1}


async def test_refusals_are_those_of_the_server(daemon: Daemon) -> None:
    """Callers catch the same classes on both sides."""
    async with AsyncClient(daemon.url) as client:
        with pytest.raises(BadRequest, match="missing fields"):
            await client.eval("m", y=1)
        with pytest.raises(UnknownModel):
            await client.eval("other", x=1)


async def test_a_server_killed_and_restarted_costs_no_call(folder: Path) -> None:
    """The promise of several hosts: SIGKILL, a dead port, and a start are other people's business."""
    config = folder / "config.yaml"
    loop = asyncio.get_running_loop()
    with running(config) as first, running(config) as second:
        ports = str(second.port)
        hosts: Counter[str] = Counter()
        client = AsyncClient(
            [first.url, second.url], cache=NO_CACHE, hooks=[lambda call: hosts.update([call.host or "none"])]
        )
        stop = asyncio.Event()
        async with client, asyncio.TaskGroup() as group:
            for number in range(TASKS):
                group.create_task(ask_until(stop, client, float(number)))
            try:
                await until(lambda: min(hosts[first.url], hosts[second.url]) > 100)
                second.process.send_signal(signal.SIGKILL)
                await loop.run_in_executor(None, second.process.wait)
                before = hosts[first.url]
                await until(lambda: hosts[first.url] > before + 500)
                again = await loop.run_in_executor(None, started, config, ports)
                try:
                    before = hosts[second.url]
                    await until(lambda: hosts[second.url] > before + 100)
                finally:
                    stop.set()
                    await loop.run_in_executor(None, again.__exit__, None, None, None)
            finally:
                stop.set()


async def test_a_reload_under_load_never_mixes_versions(daemon: Daemon, folder: Path) -> None:
    """A row kept of version 1 beside a row answered by version 2 is an answer that no model ever gave."""
    stop, seen = asyncio.Event(), Counter[int]()
    chance = np.random.default_rng(1)

    async def ask() -> None:
        while not stop.is_set():
            xs = chance.integers(0, 500, 20)
            result = await client.eval("m", {"x": xs})
            (version,) = set((result["a"] - xs).tolist())
            seen[int(version)] += 1
            await asyncio.sleep(0)  # what is all here takes no turn of the loop

    async with AsyncClient(daemon.url, cache=Cache(recheck_s=0.1)) as client, asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(ask())
        try:
            await until(lambda: seen[1] > 50)
            write_version(folder / "next.onnx", 2)
            publish(folder / "next.onnx", folder / "m.onnx")
            await until(lambda: seen[2] > 50)
        finally:
            stop.set()
    async with AsyncClient(daemon.url) as fresh:
        assert (await fresh.eval("m", x=1)).data == {"a": 3.0, "b": 3.0}


def test_threads_share_one_client(daemon: Daemon) -> None:
    """The face for threads is one client: what one of them asked, another finds."""
    with Client(daemon.url) as client:
        expected = {x: {"a": x + 1.0, "b": x + 1.0} for x in range(20)}
        failures: list[BaseException] = []

        def ask() -> None:
            try:
                assert {x: client.eval("m", x=x).data for x in range(20)} == expected
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not failures
        assert dict(client.eval("m", x=3).sources) == {"local": 1}
        assert client.describe("m").interface.inputs[0].name == "x"


async def ask_until(stop: asyncio.Event, client: AsyncClient, x: float) -> None:
    while not stop.is_set():
        assert (await client.eval("m", x=x)).data == {"a": x + 1, "b": x + 1}


async def until(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


def started(config: Path, port: str) -> Daemon:
    """One that serves at ``port``."""
    daemon = Daemon(config, "--port", port)
    daemon.__enter__()
    daemon.wait_ready()
    return daemon
