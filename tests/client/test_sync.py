"""Threads that share a client: each gets its answer, whoever closes, waits or fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlserve.client import CacheUse, Client
from mlserve.client.testing import FakeModel, FakeServer, fake_transport
from mlserve.client.transport import HttpAnswer, Transport
from mlserve.errors import ClientError, Interrupted, TimedOut, UnknownModel

URL = "http://fake"


def doubled(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{"y": 2 * row["x"]} for row in rows]


def test_it_asks_as_the_other_does() -> None:
    server = FakeServer({"m": FakeModel(doubled, {"x": "float32"}, {"y": "float32"})})
    with Client(URL, transport=server.transport) as client:
        assert [client.eval("m", x=1).data for _ in range(3)] == [{"y": 2.0}] * 3
        assert client.eval("m", {"x": [1, 2]})["y"].tolist() == [2.0, 4.0]
        assert client.ask("m", {"x": 1}, cache=CacheUse.NO_STORE).sources == {"server": 1}
        assert client.describe("m").interface.inputs[0].name == "x"
        with pytest.raises(UnknownModel):
            client.eval("other", x=1)
    assert len(server.asked) == 3


def test_threads_get_their_own_answers() -> None:
    with Client(URL, transport=fake_transport(doubled)) as client, ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda x: client.eval("model", x=x)["y"], range(100))) == [2 * x for x in range(100)]


def test_closed_it_says_so_and_leaves_no_thread() -> None:
    client = Client(URL, transport=fake_transport(doubled))
    before = threading.active_count()
    client.close()
    client.close()
    assert threading.active_count() == before - 1
    with pytest.raises(ClientError, match="the client is closed: make a new one"):
        client.eval("model", x=1)


class Silent:
    """A host that answers nothing until it is closed."""

    def __init__(self) -> None:
        self.asked, self._closed = threading.Event(), asyncio.Event()

    def transport(self, url: str) -> Transport:
        return self

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        return await self.get(path, headers)

    async def get(self, path: str, headers: Mapping[str, str]) -> HttpAnswer:
        self.asked.set()
        await self._closed.wait()
        raise Interrupted("closed")

    async def close(self) -> None:
        self._closed.set()


def test_closed_while_busy_it_ends_what_is_under_way() -> None:
    """A thread that waited for ever would keep its program from ending."""
    host = Silent()
    client = Client(URL, transport=host.transport)
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(client.eval, "m", x=x) for x in range(2)]
        assert host.asked.wait(10)
        client.close()
        for future in waiting:
            with pytest.raises(ClientError, match="the client is closed"):
                future.result(10)


def test_the_deadline_holds_for_threads() -> None:
    with Client(URL, transport=Silent().transport, timeout_s=0.05) as client, pytest.raises(TimedOut):
        client.eval("m", x=1)


def test_a_url_that_cannot_be_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match="expected http://"):
        Client("nowhere")
    assert threading.active_count() == before


def test_it_may_be_used_where_a_loop_runs() -> None:
    """As in a notebook: it blocks that loop, on purpose, and has its own."""

    async def cell() -> int:
        with Client(URL, transport=fake_transport(doubled)) as client:
            answer: int = client.eval("model", x=3)["y"]
            return answer

    assert asyncio.run(cell()) == 6
