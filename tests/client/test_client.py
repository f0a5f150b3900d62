"""The client whole, in front of a server without a network: what it finds, what it asks, and what it never mixes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import numpy as np
import pytest

from mlserve.client import NO_CACHE, AsyncClient, Cache, CacheUse, Call
from mlserve.client.testing import FakeModel, FakeServer
from mlserve.client.transport import HttpAnswer, Transport
from mlserve.errors import (
    BadAnswer,
    BadRequest,
    ClientError,
    Interrupted,
    NotCached,
    Overloaded,
    TimedOut,
    UnknownModel,
    Unreachable,
)

URL = "http://fake"
INPUTS = {"x": "float32", "s": "string"}
OUTPUTS = {"y": "float32", "t": "string"}


def answer(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``y`` is twice ``x``."""
    return [{"y": 2 * row["x"], "t": row.get("s", "")} for row in rows]


@pytest.fixture
def server() -> FakeServer:
    return FakeServer({"m": FakeModel(answer, INPUTS, OUTPUTS), "bare": answer})


@pytest.fixture
async def client(server: FakeServer) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(URL, transport=server.transport) as client:
        yield client


def asked(server: FakeServer) -> list[list[float]]:
    return [[row["x"] for row in rows] for rows in server.asked]


async def test_a_row_is_asked_for_once(server: FakeServer, client: AsyncClient) -> None:
    """Then it is found, in the same words or in others that mean the same."""
    results = [await client.eval("m", x=0.1, s="a") for _ in range(4)]
    results.append(await client.eval("m", s="a", x=np.float32(0.1)))
    results.append(await client.eval("m", {"x": 0.1, "s": "a"}))
    assert [result.data for result in results] == [{"y": 0.2, "t": "a"}] * 6
    assert [dict(result.sources) for result in results] == [{"server": 1}, *[{"local": 1}] * 5]
    assert asked(server) == [[0.1]]


async def test_only_the_missing_rows_are_asked_for(server: FakeServer, client: AsyncClient) -> None:
    """Each is then found under its own key: mly's client gives a row the answer of its neighbour here."""
    await client.eval("m", {"x": [2, 4], "s": "a"})
    result = await client.eval("m", {"x": [1, 2, 3, 4, 5], "s": ["a"]})
    assert (result["y"].tolist(), dict(result.sources)) == ([2.0, 4.0, 6.0, 8.0, 10.0], {"local": 2, "server": 3})
    assert (result["y"].dtype, result["t"].tolist()) == (np.float32, ["a"] * 5)
    assert asked(server) == [[2, 4], [1, 3, 5]]
    for x in range(1, 6):
        found = await client.eval("m", x=x, s="a")
        assert (found["y"], dict(found.sources)) == (2.0 * x, {"local": 1})


async def test_rows_one_by_one_are_a_batch(server: FakeServer, client: AsyncClient) -> None:
    result = await client.eval("m", [{"x": 1}, {"x": 2}], s="b")
    assert (result["y"].tolist(), result["t"].tolist()) == ([2.0, 4.0], ["b", "b"])
    assert (await client.eval("m", [{"x": 1, "s": "b"}]))["y"].tolist() == [2.0]
    assert len(server.asked) == 1


async def test_rows_that_look_alike_are_kept_apart(server: FakeServer, client: AsyncClient) -> None:
    """Python calls these equal; a model need not."""
    xs = [0.0, -0.0, 1, "1"]
    server.models["m"] = FakeModel(
        lambda rows: [{"y": repr(row["x"])} for row in rows], {"x": "string"}, {"y": "string"}
    )
    for _ in range(2):
        assert [(await client.eval("bare", x=x))["y"] for x in xs[:3]] == [0.0, -0.0, 2]
    assert (await client.eval("m", x="1"))["y"] == "'1'"
    assert (await client.eval("m", x=1))["y"] == "1"
    assert (await client.eval("m", x=True))["y"] == "True"


async def test_a_server_that_describes_nothing_is_asked_each_time(server: FakeServer, client: AsyncClient) -> None:
    """The types are then those of the text; and it is not asked for descriptions at every call."""
    for _ in range(2):
        result = await client.eval("bare", {"x": [1, 2], "s": "a"})
        assert (result["y"].tolist(), result["y"].dtype, result.dict_hash) == ([2, 4], np.int64, None)
    assert len(server.asked) == 2


async def test_a_new_version_is_noticed_and_nothing_of_the_old_one_is_found(
    server: FakeServer, client: AsyncClient
) -> None:
    """The first answer that tells of it is right already; then the old version's rows are gone."""
    old = await client.eval("m", x=1, s="a")
    server.models["m"] = FakeModel(lambda rows: [{"y": 100.0, "t": "new"} for _ in rows], INPUTS, OUTPUTS, version=2)
    new = await client.eval("m", x=2, s="a")
    assert (new["y"], new.dict_hash != old.dict_hash) == (100.0, True)
    await described(client, new.dict_hash)
    assert (await client.eval("m", x=1, s="a")).data == {"y": 100.0, "t": "new"}


async def test_what_is_found_never_meets_what_another_version_answers(server: FakeServer, client: AsyncClient) -> None:
    """Half of a result from each version is an answer that no model gives."""
    await client.eval("m", {"x": [1, 2], "s": "a"})
    server.models["m"] = FakeModel(lambda rows: [{"y": 100.0, "t": "new"} for _ in rows], INPUTS, OUTPUTS, version=2)
    result = await client.eval("m", {"x": [1, 2, 3], "s": "a"})
    assert (result["y"].tolist(), dict(result.sources)) == ([100.0] * 3, {"server": 3})
    assert asked(server) == [[1, 2], [3], [1, 2, 3]]


async def test_a_client_that_finds_everything_still_hears_of_a_new_version(server: FakeServer) -> None:
    """Else it would answer by the old one until its last row ends."""
    async with AsyncClient(URL, transport=server.transport, cache=Cache(recheck_s=0.0)) as client:
        old = await client.eval("m", x=1, s="a")
        server.models["m"] = FakeModel(answer, INPUTS, OUTPUTS, version=2)
        while (await client.eval("m", x=1, s="a")).dict_hash == old.dict_hash:
            await asyncio.sleep(0)
        assert {tuple(row.items()) for rows in server.asked for row in rows} == {(("x", 1), ("s", "a"))}


async def test_answers_that_no_array_holds_are_asked_for_together(server: FakeServer, client: AsyncClient) -> None:
    """A transformer may answer an integer to one row and a text to the other."""

    def transformed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{"y": "many" if row["x"] > 1 else 1} for row in rows]

    server.models["m"] = FakeModel(transformed, {"x": "float32"}, {"y": "float32"})
    assert (await client.eval("m", x=1))["y"] == 1
    assert (await client.eval("m", x=2))["y"] == "many"
    for _ in range(2):
        assert (await client.eval("m", {"x": [1, 2]}))["y"].tolist() == [1, "many"]


async def test_callers_say_where_an_answer_may_come_from(server: FakeServer, client: AsyncClient) -> None:
    """``no-cache`` replaces what there is, ``no-store`` leaves it, and neither is answered from it."""
    values = {"x": 1, "s": "a"}
    for _ in range(3):
        await client.eval("m", values)
    server.models["m"] = FakeModel(lambda rows: [{"y": 7.0, "t": "anew"} for _ in rows], INPUTS, OUTPUTS)
    assert (await client.ask("m", values, cache=CacheUse.NO_STORE))["y"] == 7.0
    assert (await client.eval("m", values))["y"] == 2.0
    assert (await client.ask("m", values, cache=CacheUse.NO_CACHE))["y"] == 7.0
    assert (await client.eval("m", **values))["y"] == 7.0
    assert (await client.ask("m", values, cache=CacheUse.ONLY_IF_CACHED))["y"] == 7.0


async def test_without_a_cache_every_call_asks(server: FakeServer) -> None:
    async with AsyncClient(URL, transport=server.transport, cache=NO_CACHE) as client:
        for _ in range(3):
            await client.eval("m", x=1, s="a")
    assert len(server.asked) == 3


@pytest.mark.parametrize("error", [BadRequest("no such field"), NotCached("not there")])
async def test_refusals_are_raised_as_the_server_did(server: FakeServer, client: AsyncClient, error: Any) -> None:
    server.failures.append(error)
    with pytest.raises(type(error), match=str(error)):
        await client.eval("m", x=1, s="a")
    for number in range(3):
        with pytest.raises(UnknownModel, match="there are: m, bare"):
            await client.eval(f"other{number}", x=1)
    assert list(client._models) == ["m"], "names that callers make up fill the memory"


async def test_overload_is_waited_out(server: FakeServer, client: AsyncClient) -> None:
    server.failures += [Overloaded("full", retry_after_s=0.0), Overloaded("full", retry_after_s=0.0)]
    assert (await client.eval("m", x=1, s="a"))["y"] == 2.0


async def test_hosts_that_are_down_are_other_people_s_business(server: FakeServer) -> None:
    async with AsyncClient(["http://a", "http://b"], transport=server.transport) as client:
        server.down.add("http://a")
        for x in range(5):
            assert (await client.eval("m", x=x, s=""))["y"] == 2.0 * x
        server.down.add("http://b")
        with pytest.raises(Unreachable):
            await client.eval("m", x=77, s="")


async def test_listeners_hear_of_every_call(server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    """And one that fails harms no call."""
    calls: list[Call] = []

    def broken(call: Call) -> None:
        raise RuntimeError("listener")

    async with AsyncClient(URL, transport=server.transport, hooks=[broken, calls.append]) as client:
        for _ in range(3):
            await client.eval("m", x=1, s="a")
        await client.eval("m", {"x": [1, 2], "s": "a"})
        with pytest.raises(UnknownModel):
            await client.eval("other", x=1)
    told = [(call.model, dict(call.sources), call.host, call.tries, call.error) for call in calls]
    assert told == [
        ("m", {"server": 1}, URL, 1, None),
        ("m", {"local": 1}, None, 0, None),
        ("m", {"local": 1}, None, 0, None),
        ("m", {"local": 1, "server": 1}, URL, 1, None),
        ("other", {}, None, 0, "UnknownModel"),
    ]
    assert sum(record.name == "mlserve.client.call" for record in caplog.records) == 5


async def test_a_description_tells_what_there_is(client: AsyncClient) -> None:
    description = await client.describe("m")
    assert [field.name for field in description.interface.inputs] == ["x", "s"]
    with pytest.raises(UnknownModel):
        await client.describe("other")


class Held:
    """Before each request to a path that ends so, waits until it is let go."""

    def __init__(self, server: FakeServer, end: str) -> None:
        self.server, self.end = server, end
        self.arrived, self.go = asyncio.Event(), asyncio.Event()
        self.requests = 0
        self.closed = False

    def transport(self, url: str) -> Transport:
        return self

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        return await self._answer(path, body)

    async def get(self, path: str, headers: Mapping[str, str]) -> HttpAnswer:
        return await self._answer(path, None)

    async def close(self) -> None:
        self.closed = True
        self.go.set()

    async def _answer(self, path: str, body: bytes | None) -> HttpAnswer:
        if path.endswith(self.end):
            self.requests += 1
            self.arrived.set()
            await self.go.wait()
        if self.closed:
            raise Interrupted("closed")
        return self.server.answer(path, body)


STAGES = ["/meta/dictionary", "/eval"]


@pytest.mark.parametrize("stage", STAGES)
async def test_a_caller_that_leaves_harms_nobody(server: FakeServer, stage: str) -> None:
    held = Held(server, stage)
    async with AsyncClient(URL, transport=held.transport) as client:
        leaving, staying = (asyncio.create_task(client.eval("m", x=x, s="")) for x in (1, 2))
        await held.arrived.wait()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        held.go.set()
        assert (await staying)["y"] == 4.0


@pytest.mark.parametrize("stage", STAGES)
async def test_the_deadline_covers_all_of_a_call(server: FakeServer, stage: str) -> None:
    held = Held(server, stage)
    async with AsyncClient(URL, transport=held.transport, timeout_s=60.0) as client:
        with pytest.raises(TimedOut, match=r"within 0\.05 s|within 0\.04\d* s"):
            await client.ask("m", {"x": 1, "s": ""}, timeout_s=0.05)
        held.go.set()
        assert (await client.eval("m", x=1, s=""))["y"] == 2.0


@pytest.mark.parametrize("stage", STAGES)
async def test_closed_while_busy_it_ends_what_is_under_way(server: FakeServer, stage: str) -> None:
    held = Held(server, stage)
    client = AsyncClient(URL, transport=held.transport)
    task = asyncio.create_task(client.eval("m", x=1, s=""))
    await held.arrived.wait()
    await client.close()
    await client.close()
    with pytest.raises(ClientError, match="the client is closed"):
        await task
    with pytest.raises(ClientError, match="the client is closed: make a new one"):
        await client.eval("m", x=1, s="")


async def test_many_first_calls_describe_a_model_once(server: FakeServer) -> None:
    held = Held(server, "/meta/dictionary")
    async with AsyncClient(URL, transport=held.transport) as client:
        tasks = [asyncio.create_task(client.eval("m", x=x, s="")) for x in range(20)]
        await held.arrived.wait()
        held.go.set()
        assert [(await task)["y"] for task in tasks] == [2.0 * x for x in range(20)]
    assert held.requests == 1


async def test_a_model_reloaded_while_it_is_described_is_read_again(server: FakeServer) -> None:
    """The inputs of one version with the words of another would make keys that mean other rows."""
    held = Held(server, "/meta/dictionary")
    async with AsyncClient(URL, transport=held.transport) as client:
        task = asyncio.create_task(client.eval("m", x=1, s=""))
        await held.arrived.wait()
        server.models["m"] = FakeModel(answer, {**INPUTS, "z": "int64"}, OUTPUTS, version=2)
        held.go.set()
        await task
        description = await client.describe("m")
    assert ([field.name for field in description.interface.inputs], held.requests) == (["x", "s", "z"], 2)


@pytest.mark.parametrize("data", [b"1", b"[]", b'[{"y":1},{"z":2}]'])
async def test_what_is_no_prediction_is_told(server: FakeServer, data: bytes) -> None:
    class Garbage(Held):
        async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
            return HttpAnswer(200, "OK", {}, b'{"status":"ok","data":' + data + b"}")

    async with AsyncClient(URL, transport=Garbage(server, "nothing").transport) as client:
        with pytest.raises(BadAnswer, match="is no prediction"):
            await client.eval("m", x=1, s="")


@pytest.mark.parametrize(
    ("tiers", "text"),
    [({"t": "lmdb:./dir"}, "'t': expected a URL that begins with"), ({"t": "nowhere"}, "aerospike, redis")],
)
def test_tiers_that_cannot_be_are_refused(tiers: dict[str, str], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        AsyncClient(URL, cache=Cache(tiers=tiers))


def test_settings_show_no_secret() -> None:
    assert "secret" not in repr(Cache(tiers={"t": "redis://:secret@host/0"}))


async def described(client: AsyncClient, dict_hash: int | None) -> None:
    """Until the background has fetched that version."""
    async with asyncio.timeout(5):
        while (await client.describe("m")).interface.dict_hash != dict_hash:
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "mlserve.client")
