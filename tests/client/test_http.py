"""The transport against real sockets: what servers, networks and people do to a connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mlserve.client.http import HttpTransport
from mlserve.client.plain import PlainClient
from mlserve.errors import BadAnswer, ClientError, Interrupted, TimedOut, Unreachable
from tests.support.fake_server import Asked, answering, faking, predicted, refused, reply


@asynccontextmanager
async def closing(url: str, **options: int) -> AsyncIterator[HttpTransport]:
    transport = HttpTransport(url, **options)
    yield transport
    await transport.close()


async def silent(asked: Asked) -> bytes:
    await asyncio.Event().wait()
    raise AssertionError


async def test_asks_as_a_server_expects_it() -> None:
    async with faking(answering(predicted({"y": 1}))) as server, PlainClient(server.url + "/ml/") as client:
        assert (await client.eval("m", {"x": "\N{SNOWMAN}"})).data == {"y": 1}
    (asked,) = server.asked
    assert (asked.path, asked.json) == ("/ml/v1/api/model/m/eval", {"x": "\N{SNOWMAN}"})
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["accept-encoding"] == "identity"


async def test_a_busy_server_answers_in_the_end() -> None:
    script = answering(refused(429, "overloaded", "full", retry_after="0"), predicted(5))
    async with faking(script) as server, PlainClient(server.url) as client:
        assert (await client.eval("m", {})).data == 5
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "cut",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    ],
    ids=["before", "in the head", "in the body", "in a chunk"],
)
async def test_a_connection_cut_short_is_tried_again_and_then_told(cut: bytes) -> None:
    """Half an answer must never pass for a whole one."""
    async with faking(answering(cut, predicted(1))) as server, PlainClient(server.url) as client:
        assert (await client.eval("m", {})).data == 1
    async with faking(answering(cut)) as server, closing(server.url) as transport:
        with pytest.raises(Interrupted, match="closed the connection before its answer was whole"):
            await transport.post("/", b"{}", {})


async def test_what_is_not_http_is_told() -> None:
    async with faking(answering(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")) as server, PlainClient(server.url) as client:
        with pytest.raises(BadAnswer, match=f"what {server.url} answered is not HTTP"):
            await client.eval("m", {})


async def test_garbage_is_told() -> None:
    async with faking(answering(reply(200, b"<html>"))) as server, PlainClient(server.url) as client:
        with pytest.raises(BadAnswer, match="is it an mlserve"):
            await client.eval("m", {})


async def test_a_redirect_is_not_followed() -> None:
    """It would send the values somewhere that nobody named."""
    script = answering(reply(302, b"", location="http://127.0.0.1:1/"))
    async with faking(script) as server, PlainClient(server.url) as client:
        with pytest.raises(BadAnswer, match="answered 302"):
            await client.eval("m", {})


async def test_an_answer_without_end_is_cut_off() -> None:
    async def endless(asked: Asked) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b" " * 1_000_000

    async with faking(endless) as server, closing(server.url, max_answer_bytes=1000) as transport:
        with pytest.raises(BadAnswer, match="longer than 1000 bytes"):
            await transport.post("/", b"{}", {})


async def test_nobody_there_is_told_at_once() -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else can take the port
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with PlainClient(url) as client:
            with pytest.raises(Unreachable, match=rf"^no connection to {url}: connection refused$"):
                await client.eval("m", {})


async def test_a_server_without_tls_is_told() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server, PlainClient(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
        with pytest.raises(Unreachable, match=r"no connection to https://.*(SSL|TLS|ssl)"):
            await client.eval("m", {})


async def test_a_slow_server_meets_the_deadline() -> None:
    async with faking(silent) as server, PlainClient(server.url, timeout_s=0.2) as client:
        with pytest.raises(TimedOut):
            await client.eval("m", {})
    assert 0 < int(server.asked[0].headers["x-request-timeout-ms"]) <= 200


async def test_a_caller_that_leaves_takes_its_connection_along() -> None:
    """The server sees that nobody waits, and drops the request."""
    arrived, left = asyncio.Event(), asyncio.Event()

    async def watching(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await reader.read()
        left.set()
        writer.close()

    server = await asyncio.start_server(watching, "127.0.0.1", 0)
    async with server, PlainClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
        task = asyncio.create_task(client.eval("m", {}))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            await left.wait()


async def test_closed_while_busy_it_ends_what_is_under_way() -> None:
    async with faking(silent) as server:
        client = PlainClient(server.url, timeout_s=20.0)
        task = asyncio.create_task(client.eval("m", {}))
        await server.arrived.wait()
        await client.close()
        await client.close()
        async with asyncio.timeout(5):
            with pytest.raises(ClientError, match="the client is closed"):
                await task


async def test_connections_are_kept_and_bounded() -> None:
    async def a_moment(asked: Asked) -> bytes:
        await asyncio.sleep(0)
        return predicted(1)

    async with faking(a_moment) as server:
        async with PlainClient(server.url, transport=HttpTransport(server.url, connections=2)) as client:
            await asyncio.gather(*(client.eval("m", {}) for _ in range(20)))
        assert (len(server.asked), server.busiest, server.connections) == (20, 2, 2)
