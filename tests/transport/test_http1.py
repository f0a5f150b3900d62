"""Real sockets against the HTTP/1.1 port: what clients rely on, and what slow, leaving and stubborn ones may not do."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import socket
from collections.abc import Callable, Coroutine

import orjson
import pytest
import uvloop

from mlserve.transport.http1 import Http1Limits, Http1Server
from mlserve.transport.message import HttpRequest, HttpResponse
from tests.support.http1 import Wire, connect, serving

LIMITS = Http1Limits(max_header_bytes=1024, max_body_bytes=2048, read_timeout_s=30.0, idle_timeout_s=60.0)
HASTY = Http1Limits(max_header_bytes=1024, max_body_bytes=2048, read_timeout_s=0.05, idle_timeout_s=60.0)
GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
CHUNKED = (
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\nX-T: 1\r\n\r\n"
)


async def echo(request: HttpRequest) -> HttpResponse:
    """Answers what it was asked, so that tests see what a handler sees."""
    seen = [request.method, request.path, request.query, request.body.decode(), request.peer]
    return HttpResponse(200, orjson.dumps(seen))


class Gate:
    """A handler that waits until it is let through; ``cancelled`` is set when it is cancelled instead."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        self.entered.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return HttpResponse(200, b"through")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5.0):
        while not condition():
            await asyncio.sleep(0.001)


# -- requests and answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        (GET, ["GET", "/a", "", ""]),
        (POST, ["POST", "/a", "", "abc"]),
        (CHUNKED, ["POST", "/a", "", "abc"]),
        (b"\r\n\r\n" + GET, ["GET", "/a", "", ""]),
        (b"GET /a%20b/%C3%B3?x=%2f&y HTTP/1.1\r\nHost: a\r\n\r\n", ["GET", "/a b/ó", "x=%2f&y", ""]),
        (b"GET http://b:80/a?x HTTP/1.1\r\nHost: a\r\n\r\n", ["GET", "/a", "x", ""]),
        (b"GET http://b?x HTTP/1.1\r\nHost: a\r\n\r\n", ["GET", "/", "x", ""]),
        (b"DELETE /.well-known HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", ["DELETE", "/.well-known", "", ""]),
        (b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Encoding: Identity\r\n\r\n", ["PUT", "/", "", ""]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("bytewise", [False, True])
async def test_a_good_request_arrives_whole_however_it_is_cut(raw: bytes, seen: list[str], bytewise: bool) -> None:
    """Bytes may come one at a time, and the next request on the connection must still be found."""
    async with serving(echo, LIMITS) as server, connect(server) as wire:
        for _ in range(2):
            await wire.send(*([bytes([byte]) for byte in raw] if bytewise else [raw]))
            answer = await wire.answer()
            assert answer.status == 200
            assert answer.json == [*seen, "127.0.0.1"]
            assert "connection" not in answer.headers
            assert "server" not in answer.headers
            assert answer.headers["date"].endswith(" GMT")


@pytest.mark.parametrize("rest", [GET, POST, CHUNKED])
async def test_pipelined_requests_are_answered_in_order(rest: bytes) -> None:
    """Each answer must belong to its request, whatever framing the one before it had."""
    numbered = [b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(50)]
    async with serving(echo, LIMITS) as server, connect(server) as wire:
        await wire.send(b"".join(request + rest for request in numbered))
        for number in range(50):
            assert (await wire.answer()).json[1] == f"/{number}"
            assert (await wire.answer()).json[1] == "/a"


async def test_a_client_far_ahead_is_held_back_and_then_served() -> None:
    """A client that pipelines megabytes while one request runs must not fill the memory, nor be forgotten."""
    gate, count = Gate(), 4000
    head = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000
    async with serving(gate, LIMITS) as server, connect(server) as wire:
        sending = asyncio.create_task(wire.send(*[head] * count))
        await gate.entered.wait()
        held = next(iter(server._port.connections))  # type: ignore[union-attr]  # it has been started
        await until(lambda: held._reading_paused)
        assert held._ahead_bytes < 2**20
        assert not sending.done()
        gate.open.set()
        for _ in range(count):
            assert (await wire.answer()).status == 200
        await sending


async def test_a_header_cut_behind_a_pipelined_request_is_put_together() -> None:
    """The rest of a piece may be the beginning of the next request; it has a deadline of its own."""
    async with serving(echo, LIMITS) as server, connect(server) as wire:
        for cut in range(1, len(POST)):
            await wire.send(POST + POST[:cut])
            await wire.answer()
            await wire.send(POST[cut:])
            assert (await wire.answer()).status == 200
    async with serving(echo, HASTY) as server, connect(server) as wire:
        await wire.send(GET + GET[:9])
        assert (await wire.answer()).status == 200
        assert (await wire.answer()).status == 408


@pytest.mark.parametrize(
    ("version", "header", "stays"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.1", b"Connection: foo, Close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: keep-alive\r\n", True),
        (b"1.1", b"Connection: Upgrade\r\nUpgrade: h2c\r\n", False),
        (b"1.1", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", False),
    ],
)
async def test_connections_stay_as_long_as_both_sides_wish(version: bytes, header: bytes, stays: bool) -> None:
    """A client told nothing waits for ever; one told wrongly loses its next request. An upgrade is not taken up."""
    raw = b"GET /a HTTP/" + version + b"\r\nHost: a\r\n" + header + b"\r\n"
    async with serving(echo, LIMITS) as server, connect(server) as wire:
        await wire.send(raw)
        answer = await wire.answer()
        assert answer.status == 200
        if stays:
            assert answer.headers.get("connection", "") == ("keep-alive" if version == b"1.0" else "")
            await wire.send(raw)
            assert (await wire.answer()).status == 200
        else:
            assert answer.headers["connection"] == "close"
            assert await wire.ended() == b""


async def test_head_is_answered_without_a_body_and_with_its_length() -> None:
    """A body after HEAD would be read as the next answer."""
    async with serving(echo, LIMITS) as server, connect(server) as wire:
        await wire.send(GET.replace(b"GET", b"HEAD") + GET)
        head = await wire.answer(head_only=True)
        answer = await wire.answer()
        assert int(head.headers["content-length"]) == len(answer.body) + 1
        await wire.send(b"HEAD /../a HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await wire.answer()).status == 400


async def test_bodiless_statuses_and_options_of_the_server() -> None:
    """204 has neither body nor length; ``OPTIONS *`` asks about the server and not about a route."""
    async with serving(echo, LIMITS) as server, connect(server) as wire:
        await wire.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
        answer = await wire.answer()
        assert answer.status == 204
        assert "GET" in answer.headers["allow"]
        assert "content-length" not in answer.headers
        assert (await wire.answer()).status == 200


async def test_a_client_that_expects_to_be_asked_is_asked_once() -> None:
    """curl sends large bodies only when told to go on."""
    head, body = POST[:-3].replace(b"Host: a\r\n", b"Host: a\r\nExpect: 100-continue\r\n"), POST[-3:]
    async with serving(echo, LIMITS) as server, connect(server) as wire:
        for _ in range(2):
            await wire.send(head)
            assert (await wire.answer()).status == 100
            await wire.send(body[:1], body[1:])
            assert (await wire.answer()).status == 200
        await wire.send(head + body)
        assert (await wire.answer()).status == 200, "a body that is there already needs no asking"


async def test_the_largest_request_is_served() -> None:
    """Limits are what may be reached."""
    filler = b"x" * (
        LIMITS.max_header_bytes - len(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2048\r\nX: \r\n\r\n")
    )
    raw = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2048\r\nX: " + filler + b"\r\n\r\n"
    async with serving(echo, LIMITS) as server, connect(server) as wire:
        await wire.send(raw + b"y" * 2048)
        assert (await wire.answer()).status == 200
        await wire.send(raw.replace(b"X: ", b"X: z") + b"y" * 2048)
        assert (await wire.answer()).status == 431


async def test_nodelay_is_set() -> None:
    """Small answers must not wait for the client's acknowledgement."""
    async with serving(echo, LIMITS) as server, connect(server) as wire:
        await wire.send(GET)
        await wire.answer()
        held = next(iter(server._port.connections))  # type: ignore[union-attr]  # it has been started
        sock = held._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# -- handlers that fail --------------------------------------------------------------------------------------------


async def _raise(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("secret detail")


async def _leak_cancellation(request: HttpRequest) -> HttpResponse:
    raise asyncio.CancelledError


async def _inject(request: HttpRequest) -> HttpResponse:
    return HttpResponse(200, headers={"X-A": "b\r\nSet-Cookie: c"})


async def _frame(request: HttpRequest) -> HttpResponse:
    return HttpResponse(200, headers={"content-length": "0"})


@pytest.mark.parametrize("handler", [_raise, _leak_cancellation, _inject, _frame])
async def test_a_failing_handler_is_an_incident_and_not_a_traceback(
    handler: Callable[[HttpRequest], asyncio.Future[HttpResponse]], caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets an id, the log has the cause under it, and the connection lives on."""
    async with serving(handler, LIMITS) as server, connect(server) as wire:
        for _ in range(2):
            await wire.send(GET)
            answer = await wire.answer()
            assert answer.status == 500
            assert answer.json["code"] == "internal"
            assert b"secret" not in answer.body
            record = caplog.records[-1]
            assert record.exc_info is not None
            assert answer.json["error"].split()[-1] in record.getMessage()


# -- slow, leaving and stubborn clients ----------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [b"G", GET[:-2], POST[:-1], CHUNKED[:-9], POST[:-3]])
async def test_a_slow_sender_gets_408_and_is_closed(begun: bytes) -> None:
    """A request that never ends must not hold a connection for ever, wherever it stops."""
    async with serving(echo, HASTY) as server, connect(server) as wire:
        await wire.send(begun)
        answer = await wire.answer()
        assert (answer.status, answer.json["code"]) == (408, "slow_sender")
        assert answer.headers["connection"] == "close"
        assert await wire.ended() == b""


async def test_one_deadline_for_the_whole_request() -> None:
    """A client that sends a byte now and then must not win time by it."""

    async def dribble(wire: Wire) -> None:
        while True:
            await wire.send(b"x")
            await asyncio.sleep(0.01)

    async with serving(echo, HASTY) as server, connect(server) as wire:
        await wire.send(POST[:-3].replace(b": 3", b": 2048"))
        dribbling = asyncio.create_task(dribble(wire))
        assert (await wire.answer()).status == 408
        dribbling.cancel()
        await asyncio.wait([dribbling])


async def test_silent_connections_close_without_an_answer() -> None:
    """Before the first request and between two: nothing was asked, so nothing is said."""
    limits = Http1Limits(idle_timeout_s=0.05)
    async with serving(echo, limits) as server, connect(server) as silent, connect(server) as quiet:
        await quiet.send(GET)
        assert (await quiet.answer()).status == 200
        assert await silent.ended() == b""
        assert await quiet.ended() == b""
        await until(lambda: server.connections == 0)


async def test_two_hundred_dribblers_do_not_stop_the_others() -> None:
    """Slow senders cost memory, not time."""
    async with serving(echo, LIMITS) as server, asyncio.TaskGroup() as group:
        dribblers = [await asyncio.open_connection(*server.address) for _ in range(200)]

        async def dribble(writer: asyncio.StreamWriter) -> None:
            for byte in GET[:-1]:
                writer.write(bytes([byte]))
                await asyncio.sleep(0)

        for _, writer in dribblers:
            group.create_task(dribble(writer))
        async with connect(server) as wire:
            for _ in range(50):
                await wire.send(GET)
                assert (await wire.answer()).status == 200
        for _, writer in dribblers:
            writer.transport.abort()


async def test_a_client_that_does_not_read_is_dropped() -> None:
    """An answer nobody takes must not stay in memory."""

    async def large(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, bytes(64 * 2**20))

    async with serving(large, Http1Limits(write_timeout_s=0.05)) as server:
        for request in (GET, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")):
            async with connect(server) as wire:
                wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket transport has it
                await wire.send(request)
                await until(lambda: server.connections == 1)
                await until(lambda: server.connections == 0)


async def test_a_client_that_reads_slowly_but_steadily_gets_all() -> None:
    """The bound is on progress: large answers over thin lines arrive."""
    size = 24 * 2**20

    async def large(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, bytes(size))

    async with serving(large, Http1Limits(write_timeout_s=0.1)) as server, connect(server) as wire:
        await wire.send(GET)
        await wire.reader.readuntil(b"\r\n\r\n")
        left, started = size, asyncio.get_running_loop().time()
        while left:
            left -= len(await wire.reader.read(min(left, 2**20)))
            await asyncio.sleep(0.01)
        assert asyncio.get_running_loop().time() - started > 0.2, "the test was to take longer than one timeout"


async def test_413_reaches_a_client_that_is_still_sending() -> None:
    """Closing at once over unread bytes would reset the connection and lose the answer; reading on has a bound."""
    async with serving(echo, LIMITS) as server, connect(server) as wire:
        head = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n"
        sending = asyncio.create_task(wire.send(head, *[b"x" * 65536] * 137))
        answer = await wire.answer()
        assert (answer.status, answer.json["code"]) == (413, "too_large")
        await until(lambda: server.connections == 0)
        await sending


@pytest.mark.parametrize("ahead", [b"", GET[:5]])
async def test_leaving_cancels_the_handler(ahead: bytes) -> None:
    """Nobody waits for the answer any more: the work must stop, and nothing may be logged."""
    gate = Gate()
    async with serving(gate, LIMITS) as server, connect(server) as wire:
        await wire.send(GET + ahead)
        await gate.entered.wait()
        assert server.in_flight == 1
        wire.leave()
        async with asyncio.timeout(5.0):
            await gate.cancelled.wait()
        await until(lambda: server.in_flight == 0 and server.connections == 0)


async def test_leaving_by_a_polite_end_cancels_too() -> None:
    """A closed socket sends its FIN first."""
    gate = Gate()
    async with serving(gate, LIMITS) as server, connect(server) as wire:
        await wire.send(GET)
        await gate.entered.wait()
        wire.writer.close()
        async with asyncio.timeout(5.0):
            await gate.cancelled.wait()


@pytest.mark.parametrize("begun", [b"", GET[:9], POST[:-1], CHUNKED[:-9]])
async def test_leaving_before_the_request_is_whole_harms_nobody(begun: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Resets in the middle of a header or body are every day's weather."""
    async with serving(echo, LIMITS) as server:
        async with connect(server) as wire:
            await wire.send(begun)
        await until(lambda: server.connections == 0)
        async with connect(server) as wire:
            await wire.send(GET)
            assert (await wire.answer()).status == 200
    assert not caplog.records


async def test_leaving_in_the_middle_of_the_answer() -> None:
    """The rest of the answer has nowhere to go and must be dropped."""

    async def large(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, bytes(32 * 2**20))

    async with serving(large, LIMITS) as server, connect(server) as wire:
        await wire.send(GET)
        await wire.reader.readexactly(1000)
        wire.leave()
        await until(lambda: server.connections == 0)


async def test_requests_on_connections_over_the_bound_get_503() -> None:
    """The bound holds, those within it are served, and a place that becomes free is given away."""
    async with serving(echo, Http1Limits(max_connections=2)) as server:
        async with connect(server) as first, connect(server) as second:
            await until(lambda: server.connections == 2)
            async with connect(server) as third:
                await third.send(POST[:-1])
                answer = await third.answer()
                assert (answer.status, answer.json["code"]) == (503, "not_ready")
                assert (answer.headers["retry-after"], answer.headers["connection"]) == ("1", "close")
                assert await third.ended() == b""
            for wire in (first, second):
                await wire.send(GET)
                assert (await wire.answer()).status == 200
        await until(lambda: server.connections == 0)
        async with connect(server) as wire:
            await wire.send(GET)
            assert (await wire.answer()).status == 200


async def test_silent_connections_over_the_bound_close_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is refused must not hold a place for as long as those who are served; nothing asked, nothing said."""
    monkeypatch.setattr("mlserve.transport.connection.LINGER_S", 0.05)
    async with serving(echo, Http1Limits(max_connections=1)) as server, connect(server) as first:
        await until(lambda: server.connections == 1)
        async with connect(server) as second:
            assert await second.ended() == b""
        await first.send(GET)
        assert (await first.answer()).status == 200


async def test_a_crowd_over_the_bound_is_cut() -> None:
    """Connections that wait for their refusal are connections too."""
    async with serving(echo, Http1Limits(max_connections=1)) as server, contextlib.AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(connect(server)) for _ in range(1 + 128 + 20)]
        await until(lambda: server.connections == 1 + 128)
        for wire in crowd[-20:]:
            assert await wire.ended() == b""
        await crowd[0].send(GET)
        assert (await crowd[0].answer()).status == 200


async def test_fewer_connections_than_asked_for_where_the_system_allows_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server out of descriptors fails where it opens the next model; refused connections cost it nothing."""
    monkeypatch.setattr("mlserve.transport.http1.connections_allowed", lambda wanted: 1)
    async with serving(echo, Http1Limits(max_connections=7)) as server:
        assert "allows 1 connections, not the 7 of MaxConnections" in caplog.text
        async with connect(server) as _, connect(server) as second:
            await second.send(GET)
            assert (await second.answer()).status == 503


# -- bytes in flight -----------------------------------------------------------------------------------------------

BOUNDED = Http1Limits(max_body_bytes=8000, max_in_flight_bytes=10_000)


def _post(length: int) -> bytes:
    return b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length


def _chunk(size: int) -> bytes:
    return b"%x\r\n" % size + b"x" * size + b"\r\n"


CHUNKED_HEAD = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_a_body_for_which_there_is_no_room_is_refused_before_it_is_read() -> None:
    """Many large bodies at once are what fills a memory; small requests go on, and room that is free again is given."""
    async with serving(echo, BOUNDED) as server, connect(server) as large, connect(server) as other:
        await large.send(_post(8000) + b"x" * 7999)
        await until(lambda: server.in_flight_bytes == 7999)
        await other.send(GET)
        assert (await other.answer()).status == 200
        await other.send(_post(2001) + b"x" * 2001)
        assert (await other.answer()).status == 200, "there is room for so much"
        await other.send(_post(2002))
        answer = await other.answer()
        assert (answer.status, answer.json["code"]) == (429, "overloaded")
        assert (answer.headers["retry-after"], answer.headers["connection"]) == ("1", "close")
        assert "7999 of the 10000 bytes of MaxInFlightBytes" in answer.json["error"]
        await large.send(b"x")
        assert (await large.answer()).status == 200
        assert server.in_flight_bytes == 0


async def test_announcing_much_keeps_nobody_out() -> None:
    """What counts is what is there, or a few idle clients with large Content-Lengths would stop the server."""
    async with serving(echo, BOUNDED) as server, connect(server) as idle, connect(server) as busy:
        await idle.send(_post(8000) + b"x")
        await until(lambda: server.in_flight_bytes == 1)
        for _ in range(3):
            await busy.send(_post(8000) + b"x" * 8000)
            assert (await busy.answer()).status == 200


async def test_bodies_of_unknown_length_are_refused_when_the_room_is_used_up() -> None:
    """Chunked bodies announce nothing."""
    async with serving(echo, BOUNDED) as server, connect(server) as first, connect(server) as second:
        for wire in (first, second):
            await wire.send(CHUNKED_HEAD)
        await first.send(_chunk(6000))
        await until(lambda: server.in_flight_bytes == 6000)
        await second.send(_chunk(4001))
        assert (await second.answer()).status == 429
        await first.send(_chunk(1000), b"0\r\n\r\n")
        assert (await first.answer()).status == 200
        assert server.in_flight_bytes == 0


async def test_a_body_larger_than_the_bound_is_served_when_it_is_alone() -> None:
    """MaxInFlightBytes below BufferSize must not refuse for ever what BufferSize allows."""
    limits = Http1Limits(max_body_bytes=8000, max_in_flight_bytes=100)
    async with serving(echo, limits) as server, connect(server) as wire:
        await wire.send(_post(8000), b"x" * 4000, b"x" * 4000)
        assert (await wire.answer()).status == 200
        await wire.send(CHUNKED_HEAD, _chunk(4000), _chunk(4000), b"0\r\n\r\n")
        assert (await wire.answer()).status == 200


async def test_a_body_counts_until_its_request_is_answered() -> None:
    """Requests that wait for a slow model hold their bodies."""
    gate = Gate()
    async with serving(gate, BOUNDED) as server, connect(server) as wire, connect(server) as other:
        await wire.send(_post(8000) + b"x" * 8000)
        await gate.entered.wait()
        assert server.in_flight_bytes == 8000
        await other.send(_post(2001))
        assert (await other.answer()).status == 429
        gate.open.set()
        assert (await wire.answer()).status == 200
        assert server.in_flight_bytes == 0


@pytest.mark.parametrize("how", ["leaves", "too slow", "refused", "malformed", "expelled"])
async def test_room_is_given_back_however_a_request_ends(how: str) -> None:
    """Bytes that stay counted would shut the server within days."""
    gate = Gate()
    limits = dataclasses.replace(BOUNDED, read_timeout_s=0.05 if how == "too slow" else 30.0)
    async with serving(gate, limits) as server, connect(server) as wire:
        await wire.send(CHUNKED_HEAD + _chunk(5000))
        if how == "expelled":
            await wire.send(b"0\r\n\r\n")
            await gate.entered.wait()
            assert server.in_flight_bytes == 5000
            await server.close(0.0)
        else:
            if how == "leaves":
                await until(lambda: server.in_flight_bytes == 5000)
                wire.leave()
            elif how == "refused":
                await wire.send(_chunk(3001))
            elif how == "malformed":
                await wire.send(b"no size\r\n")
            await until(lambda: server.connections == 0 or server.in_flight_bytes == 0)
        assert server.in_flight_bytes == 0


async def test_answers_that_nobody_takes_count_too() -> None:
    """Slow readers of large answers hold memory as slow senders do; it is free again when they have read or left."""

    async def large(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, bytes(32 * 2**20))

    async with serving(large, BOUNDED) as server:
        for leaves in (False, True):
            async with connect(server) as reader, connect(server) as other:
                reader.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket transport has it
                await reader.send(GET)
                await until(lambda: server.in_flight_bytes > 2**20)
                await other.send(_post(1))
                assert (await other.answer()).status == 429
                if leaves:
                    reader.leave()
                else:
                    reader.writer.transport.resume_reading()  # type: ignore[attr-defined]  # as above
                    assert len((await reader.answer()).body) == 32 * 2**20
                await until(lambda: server.in_flight_bytes == 0)


async def test_a_client_that_takes_no_answer_gets_no_second_one() -> None:
    """Small answers to pipelined requests must not pile up in memory either."""
    asked = 0

    async def count(request: HttpRequest) -> HttpResponse:
        nonlocal asked
        asked += 1
        return HttpResponse(200, bytes(60_000))

    async with serving(count, LIMITS) as server, connect(server) as wire:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket transport has it
        await wire.send(GET * 2000)
        await until(lambda: server.in_flight_bytes > 0)
        held = asked
        assert held < 1000, "the kernel's buffers are full long before"
        assert server.in_flight_bytes < 2 * 60_000
        wire.writer.transport.resume_reading()  # type: ignore[attr-defined]  # as above
        for _ in range(2000):
            assert (await wire.answer()).status == 200
        assert asked == 2000


# -- stopping ------------------------------------------------------------------------------------------------------


async def test_stopping_finishes_what_has_begun_and_closes_what_is_idle() -> None:
    """SIGTERM under load: nothing in flight is lost, and no new connection is taken."""
    gate = Gate()
    async with (
        serving(gate, LIMITS) as server,
        connect(server) as busy,
        connect(server) as reading,
        connect(server) as idle,
    ):
        await busy.send(GET)
        await reading.send(POST[:-1])
        await gate.entered.wait()
        await until(lambda: server.connections == 3)
        await server.stop_accepting()
        await server.stop_accepting()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*server.address)
        assert await idle.ended() == b""
        closing = asyncio.create_task(server.close(5.0))
        await reading.send(POST[-1:])
        gate.open.set()
        for wire in (busy, reading):
            answer = await wire.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
        await closing
        assert (server.connections, server.in_flight) == (0, 0)


async def test_a_request_on_its_way_to_an_idle_connection_is_still_answered() -> None:
    """A keep-alive client may send just when the stop begins; it must not find the connection gone."""
    async with serving(echo, LIMITS) as server, connect(server) as wire:
        await wire.send(GET)
        await wire.answer()
        await server.stop_accepting()
        await wire.send(GET)
        answer = await wire.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")


async def test_closing_cancels_what_does_not_finish_and_says_so() -> None:
    """The bound of a stop holds, and the client learns that it may try elsewhere."""
    gate = Gate()
    async with serving(gate, LIMITS) as server, connect(server) as wire, connect(server) as reading:
        await wire.send(GET)
        await reading.send(GET[:5])
        await gate.entered.wait()
        await until(lambda: server.connections == 2)
        closing = asyncio.create_task(server.close(0.01))
        answer = await wire.answer()
        assert (answer.status, answer.json["code"]) == (503, "not_ready")
        assert gate.cancelled.is_set()
        wire.leave()
        await closing
        assert (server.connections, server.in_flight) == (0, 0)


async def test_a_handler_that_will_not_be_cancelled_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """A stop must end although a handler swallows its cancellation."""
    entered, freed = asyncio.Event(), asyncio.Event()

    async def stubborn(request: HttpRequest) -> HttpResponse:
        entered.set()
        while not freed.is_set():
            try:
                await freed.wait()
            except asyncio.CancelledError:
                continue
        return HttpResponse(200)

    async with serving(stubborn, LIMITS) as server, connect(server) as wire:
        await wire.send(GET)
        await entered.wait()
        with caplog.at_level(logging.WARNING):
            await server.close(0.0)
        assert "do not react" in caplog.text
        freed.set()
        await until(lambda: server.in_flight == 0)


async def test_a_cancelled_close_cuts_every_connection() -> None:
    """A second signal ends at once."""
    gate = Gate()
    async with serving(gate, LIMITS) as server, connect(server) as wire:
        await wire.send(GET)
        await gate.entered.wait()
        closing = asyncio.create_task(server.close(60.0))
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await until(lambda: gate.cancelled.is_set() and server.connections == 0)


async def test_closing_before_starting_and_twice_is_nothing() -> None:
    """A daemon that fails to start closes all the same."""
    server = Http1Server(echo, LIMITS)
    await server.stop_accepting()
    await server.close(1.0)
    await server.start("127.0.0.1", 0)
    await server.close(1.0)
    await server.close(1.0)
    assert (server.connections, server.in_flight) == (0, 0)


async def test_a_port_that_is_taken_is_an_error_that_starts_nothing() -> None:
    """Two servers on one port would share its clients by chance."""
    async with serving(echo, LIMITS) as server:
        other = Http1Server(echo, LIMITS)
        with pytest.raises(OSError, match="address"):
            await other.start(*server.address)
        await other.close(1.0)


# -- the seam ------------------------------------------------------------------------------------------------------


async def test_a_protocol_in_front_answers_what_it_knows_and_passes_on_the_rest() -> None:
    """A faster way, or HTTP/2, takes hold of connections here."""

    class Door(asyncio.Protocol):
        def __init__(self, behind: asyncio.Protocol) -> None:
            self.behind = behind
            self.connection_made = behind.connection_made  # type: ignore[method-assign]  # passed on as it is
            self.connection_lost = behind.connection_lost  # type: ignore[method-assign]  # passed on as it is
            self.eof_received = behind.eof_received  # type: ignore[method-assign]  # passed on as it is

        def data_received(self, data: bytes) -> None:
            if data == b"knock" and self.behind.free:  # type: ignore[attr-defined]  # the server gives a Connection
                self.behind._transport.write(b"who is there")  # type: ignore[attr-defined]  # as above
            else:
                self.behind.data_received(data)

    async with serving(echo, LIMITS, front=Door) as server, connect(server) as wire:
        await wire.send(b"knock")
        assert await wire.reader.readexactly(12) == b"who is there"
        await wire.send(GET)
        assert (await wire.answer()).status == 200


# -- the other loop ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scenario",
    [
        test_a_cancelled_close_cuts_every_connection,
        test_a_client_far_ahead_is_held_back_and_then_served,
        test_a_client_that_does_not_read_is_dropped,
        test_a_client_that_expects_to_be_asked_is_asked_once,
        test_a_client_that_reads_slowly_but_steadily_gets_all,
        test_a_header_cut_behind_a_pipelined_request_is_put_together,
        test_413_reaches_a_client_that_is_still_sending,
        test_bodiless_statuses_and_options_of_the_server,
        test_closing_cancels_what_does_not_finish_and_says_so,
        test_a_body_for_which_there_is_no_room_is_refused_before_it_is_read,
        test_a_client_that_takes_no_answer_gets_no_second_one,
        test_a_crowd_over_the_bound_is_cut,
        test_answers_that_nobody_takes_count_too,
        test_requests_on_connections_over_the_bound_get_503,
        test_leaving_by_a_polite_end_cancels_too,
        test_leaving_in_the_middle_of_the_answer,
        test_nodelay_is_set,
        test_one_deadline_for_the_whole_request,
        test_silent_connections_close_without_an_answer,
        test_stopping_finishes_what_has_begun_and_closes_what_is_idle,
    ],
    ids=lambda scenario: scenario.__name__,
)
def test_uvloop_does_the_same(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    """The daemon runs on uvloop where there is one; its transports differ in what they allow when."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
