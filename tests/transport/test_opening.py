"""The first bytes decide between two protocols: nobody may be taken for what they are not, nor wait for ever."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from mlserve.transport.http1 import Http1Limits
from mlserve.transport.message import HttpRequest, HttpResponse
from mlserve.transport.opening import ALPN
from tests.support import http1
from tests.support.certificate import self_signed
from tests.support.http2 import PREFACE, Client, connect, serving

LIMITS = Http1Limits(max_header_bytes=1024)
HTTP1 = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


async def told(request: HttpRequest) -> HttpResponse:
    return HttpResponse(200, request.path.encode())


async def test_a_preface_in_any_pieces_is_http2() -> None:
    """TCP may deliver it byte by byte."""
    async with serving(told, LIMITS) as server:
        for size in (1, 5, 23, 24):
            async with connect(server, greet=False) as client:
                await client.send(*[PREFACE[at : at + size] for at in range(0, len(PREFACE), size)])
                await client.greet_without_preface()
                assert (await client.ask(1)).body == b"/a"


@pytest.mark.parametrize("same", range(len(PREFACE)))
async def test_what_differs_from_the_preface_is_http1_from_there(same: int) -> None:
    """POST, PUT and PATCH begin with the same letter; nothing of them may be lost, and rubbish is answered at once."""
    raw = PREFACE[:same] + b"\x01"
    async with serving(told, LIMITS) as server, http1.connect(server) as wire:
        await wire.send(*[bytes([byte]) for byte in raw], b"\r\n\r\n")
        answer = await wire.answer()
        assert (answer.status, answer.json["code"]) == (400, "bad_request")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_methods_that_begin_alike_are_served(method: str) -> None:
    """However their first bytes are cut."""
    raw = f"{method} /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nb".encode()
    async with serving(told, LIMITS) as server, http1.connect(server) as wire:
        await wire.send(*[bytes([byte]) for byte in raw])
        assert (await wire.answer()).body == b"/a"
        await wire.send(raw)
        assert (await wire.answer()).body == b"/a"


async def test_a_preface_that_never_ends_is_closed() -> None:
    """Half a preface must not hold a connection longer than half a request does."""
    async with serving(told, Http1Limits(read_timeout_s=0.05)) as server, http1.connect(server) as wire:
        await wire.send(PREFACE[:10])
        assert await wire.ended() == b""


@pytest.mark.parametrize("begun", [b"", PREFACE[:10]])
async def test_leaving_and_stopping_before_it_is_known(begun: bytes) -> None:
    """Nothing is left of a connection that was neither."""
    async with serving(told, Http1Limits(read_timeout_s=0.5)) as server:
        async with http1.connect(server) as wire:
            await wire.send(begun)
        async with asyncio.timeout(5.0):
            while server.connections:
                await asyncio.sleep(0.001)
        async with http1.connect(server) as wire:
            await wire.send(begun)
            async with asyncio.timeout(5.0):
                while not server.connections:
                    await asyncio.sleep(0.001)
            await server.stop_accepting()
            assert await wire.ended() == b""


@pytest.mark.parametrize("offered", [["h2"], ["http/1.1", "h2"], ["http/1.1"], ["spdy/3"], []])
async def test_under_tls_the_handshake_decides(offered: list[str], tmp_path: Path) -> None:
    """Browsers and curl speak HTTP/2 only so; a client that offers nothing speaks HTTP/1.1, or begins as it likes."""
    made = self_signed(tmp_path)
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(made.cert, made.key)
    ours.set_alpn_protocols(ALPN)
    theirs = ssl.create_default_context(cafile=made.cert)
    if offered:
        theirs.set_alpn_protocols(offered)
    async with serving(told, LIMITS, ssl=ours) as server:
        reader, writer = await asyncio.open_connection(*server.address, ssl=theirs)
        chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        assert chosen == ("h2" if "h2" in offered else "http/1.1" if offered == ["http/1.1"] else None)
        if chosen == "h2":
            client = Client(reader, writer)
            await client.greet()
            assert (await client.ask(1)).body == b"/a"
        else:
            wire = http1.Wire(reader, writer)
            await wire.send(HTTP1)
            assert (await wire.answer()).body == b"/a"
        writer.transport.abort()
        if chosen is None:
            reader, writer = await asyncio.open_connection(*server.address, ssl=theirs)
            client = Client(reader, writer)
            await client.greet()
            assert (await client.ask(1)).body == b"/a"
            writer.transport.abort()


async def test_a_client_that_chose_http2_and_speaks_http1_is_told(tmp_path: Path) -> None:
    """It is a connection error (RFC 9113, section 3.4), not a request to guess at."""
    made = self_signed(tmp_path)
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(made.cert, made.key)
    ours.set_alpn_protocols(ALPN)
    theirs = ssl.create_default_context(cafile=made.cert)
    theirs.set_alpn_protocols(["h2"])
    async with serving(told, LIMITS, ssl=ours) as server:
        reader, writer = await asyncio.open_connection(*server.address, ssl=theirs)
        client = Client(reader, writer)
        await client.send(HTTP1)
        assert (await client.goaway()).error_code == 1
        await client.ended()
        writer.transport.abort()
