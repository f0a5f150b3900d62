"""What servers wrote into shared tiers is found there by clients that know the documents and a password, no more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlserve.client import AsyncClient, Cache
from tests.support.aerospike_double import aerospike_double
from tests.support.daemon import Daemon, running
from tests.support.redis_server import RedisServer, redis_server
from tests.support.versions import publish, write_version

PASSWORD = "open sesame"
CONFIG = """
Models:
  - {{ID: m, URL: m.onnx, DataStore: both}}
  - {{ID: records, URL: m.onnx, DataStore: mly}}
Datastores:
  - {{ID: both, Cache: {{SizeMB: 4}}, Connection: near, L2: {{Connection: far}}}}
  - {{ID: mly, Cache: {{SizeMB: 4}}, Connection: aero, Namespace: test, Dataset: scores}}
Connections:
  - {{ID: near, URL: "{near}", Timeout: {{Connection: 500, Total: 500}}}}
  - {{ID: far, URL: "{far}", Timeout: {{Connection: 500, Total: 500}}}}
  - {{ID: aero, URL: "{aero}", Timeout: {{Connection: 500, Total: 500}}}}
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """A daemon between two Redis servers and an Aerospike node; ``tiers`` is what a client's owner knows of them."""

    daemon: Daemon
    near: RedisServer
    far: RedisServer
    tiers: dict[str, str]
    folder: Path

    def client(self, *, local: bool = False, **settings: bool) -> AsyncClient:
        return AsyncClient(self.daemon.url, cache=Cache(local=local, tiers=self.tiers, **settings))

    def written(self, server: RedisServer, count: int) -> None:
        """Until the server's writes, which are behind, are there."""
        self.daemon.wait_until(lambda: server.client.dbsize() >= count)

    def holds(self, server: RedisServer, row: str) -> None:
        """Until the server's write of this row is there."""
        self.daemon.wait_until(lambda: bool(list(server.client.scan_iter(f"*:{row}"))))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("tiers")
    write_version(folder / "m.onnx", 1)
    with ExitStack() as stack:
        near, far = (stack.enter_context(redis_server(password=PASSWORD)) for _ in range(2))
        aero = stack.enter_context(aerospike_double())
        tiers = {"near": near.url, "far": far.url, "aero": aero.url}
        (folder / "config.yaml").write_text(CONFIG.format(**tiers))
        daemon = stack.enter_context(running(folder / "config.yaml"))
        for connection in tiers:
            daemon.wait_for_log(rf"connection {connection} .* is up")
        yield Stage(daemon, near, far, tiers, folder)


async def test_rows_are_found_in_l1_then_in_l2(stage: Stage) -> None:
    """By the server's own names and in its own layout; nothing is asked for them, and nothing is written."""
    async with stage.client() as client:
        asked = await client.eval("m", {"x": [1, 2, 3]})
        await asyncio.to_thread(stage.written, stage.far, 3)
        await asyncio.to_thread(stage.written, stage.near, 3)
        found = await client.eval("m", {"x": [3, 2, 1, 9]})
        assert (found["a"].tolist(), dict(found.sources)) == ([4.0, 3.0, 2.0, 10.0], {"l1": 3, "server": 1})
        assert (found["a"].dtype, found.dict_hash) == (asked["a"].dtype, asked.dict_hash)
        await asyncio.to_thread(stage.written, stage.near, 4)
        stage.near.client.flushdb()
        one = await client.eval("m", x=2)
        assert (one.data, dict(one.sources)) == ({"a": 3.0, "b": 3.0}, {"l2": 1})
    assert stage.near.client.dbsize() == 0


async def test_what_l2_had_is_copied_up_if_so_told(stage: Stage) -> None:
    async with stage.client(promote=True) as client:
        await client.eval("m", x=20)
        await asyncio.to_thread(stage.holds, stage.near, "20.0")
        await asyncio.to_thread(stage.holds, stage.far, "20.0")
        stage.near.client.flushdb()
        assert dict((await client.eval("m", x=20)).sources) == {"l2": 1}
        await asyncio.to_thread(stage.holds, stage.near, "20.0")
        assert dict((await client.eval("m", x=20)).sources) == {"l1": 1}


async def test_what_a_tier_had_is_kept_here(stage: Stage) -> None:
    """Its next reader need not leave the process; and rows of tier and answer stand in one memory."""
    async with stage.client(local=True) as client:
        await client.eval("m", x=31)
    await asyncio.to_thread(stage.holds, stage.near, "31.0")
    async with stage.client(local=True) as client:
        assert dict((await client.eval("m", x=31)).sources) == {"l1": 1}
        many = await client.eval("m", {"x": [31, 32]})
        assert (many["b"].tolist(), dict(many.sources)) == ([32.0, 33.0], {"local": 1, "server": 1})
        again = await client.eval("m", {"x": [31, 32]})
        assert (again["b"].tolist(), dict(again.sources)) == ([32.0, 33.0], {"local": 2})


async def test_records_of_mly_s_layout_are_read_too(stage: Stage) -> None:
    async with stage.client() as client:
        asked = await client.eval("records", x=5)
        async with asyncio.timeout(10):
            while (found := await client.eval("records", x=5)).sources.keys() != {"l1"}:
                await asyncio.sleep(0.01)
        assert found.data == asked.data == {"a": 6.0, "b": 6.0}


async def test_without_a_password_there_are_no_tiers(stage: Stage) -> None:
    """No document tells it; and a client that was given none asks the server."""
    async with AsyncClient(stage.daemon.url, cache=Cache(local=False)) as client:
        for _ in range(2):
            assert dict((await client.eval("m", x=1)).sources) == {"server": 1}
    _, shown = await asyncio.to_thread(stage.daemon.get, "/v1/api/model/m/meta/config")
    assert "sesame" not in str(shown)


async def test_tiers_that_are_down_cost_no_call(stage: Stage) -> None:
    """A frozen one costs a bounded wait, then nothing."""
    async with stage.client() as client:
        await client.eval("m", x=1)
        for server in (stage.near, stage.far):
            server.freeze()
        try:
            for x in range(50, 60):
                assert (await client.eval("m", x=x)).data == {"a": x + 1.0, "b": x + 1.0}
        finally:
            for server in (stage.near, stage.far):
                server.thaw()


async def test_rows_of_another_version_are_not_found(stage: Stage) -> None:
    """Their names begin with another generation."""
    async with stage.client() as client:
        await client.eval("m", x=70)
        write_version(stage.folder / "next.onnx", 2)
        publish(stage.folder / "next.onnx", stage.folder / "m.onnx")
        async with asyncio.timeout(30):
            number = 0
            while (await client.eval("m", x=number))["a"] != number + 2:
                number += 1
                await asyncio.sleep(0.05)
            while (await client.describe("m")).interface.dict_hash != (await client.eval("m", x=number)).dict_hash:
                await asyncio.sleep(0.05)
        assert (await client.eval("m", x=70)).data == {"a": 72.0, "b": 72.0}
