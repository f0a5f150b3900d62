"""Real sockets against HTTP/2: what clients rely on, and what slow, leaving, greedy and hostile ones may not do."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable, Coroutine

import orjson
import pytest
import uvloop
from hyperframe.frame import (
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from mlserve.transport.http1 import Http1Limits
from mlserve.transport.http2_frames import Code
from mlserve.transport.message import HttpRequest, HttpResponse
from tests.support import http1
from tests.support.http2 import GET, POST, Client, cancel, connect, data, serving, window

LIMITS = Http1Limits(max_header_bytes=1024, max_body_bytes=2048, read_timeout_s=30.0, idle_timeout_s=60.0)
HASTY = dataclasses.replace(LIMITS, read_timeout_s=0.05)
BOUNDED = Http1Limits(max_body_bytes=8000, max_in_flight_bytes=10_000)


async def echo(request: HttpRequest) -> HttpResponse:
    """Answers what it was asked, so that tests see what a handler sees."""
    seen = [request.method, request.path, request.query, request.body.decode(), request.peer]
    return HttpResponse(200, orjson.dumps(seen))


class Gate:
    """A handler that waits until it is let through, and counts who waits and who was cancelled."""

    def __init__(self, size: int = 7) -> None:
        self.entered = 0
        self.cancelled = 0
        self.open = asyncio.Event()
        self._body = bytes(size)

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        self.entered += 1
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return HttpResponse(200, self._body)


def large(size: int) -> Callable[[HttpRequest], Coroutine[None, None, HttpResponse]]:
    async def answer(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, bytes(size))

    return answer


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5.0):
        while not condition():
            await asyncio.sleep(0.001)


def posted(length: int) -> list[tuple[str, str]]:
    return [*POST, ("content-length", str(length))]


# -- requests and answers ------------------------------------------------------------------------------------------


async def test_a_request_arrives_whole_however_it_is_cut() -> None:
    """Frames may come in any pieces, bodies in any frames."""
    async with serving(echo, LIMITS) as server, connect(server) as client:
        for stream_id in (1, 3):
            frames = [client.head(stream_id, POST, end=False), data(stream_id, b"ab"), data(stream_id, b"c", end=True)]
            raw = b"".join(frame.serialize() for frame in frames)
            await client.send(*[bytes([byte]) for byte in raw])
            answer = await client.answer(stream_id)
            assert (answer.status, answer.json) == (200, ["POST", "/a", "", "abc", "127.0.0.1"])
            assert answer.headers["date"].endswith(" GMT")
            assert int(answer.headers["content-length"]) == len(answer.body)


async def test_many_requests_at_once_are_answered_as_they_are_ready() -> None:
    """A slow one holds nobody up: that is what HTTP/2 is for."""
    gate = Gate()

    async def some(request: HttpRequest) -> HttpResponse:
        return await (gate(request) if request.query == "slow" else echo(request))

    async with serving(some, LIMITS) as server, connect(server) as client:
        slow = [*GET[:3], (":path", "/a?slow")]
        await client.send(client.head(1, slow), client.head(3), client.head(5))
        assert (await client.answer(5)).status == 200
        assert (await client.answer(3)).status == 200
        assert server.in_flight == 1
        gate.open.set()
        assert (await client.answer(1)).status == 200
        assert server.in_flight == 0


async def test_head_and_bodiless_answers_end_with_their_headers() -> None:
    """A body after HEAD breaks a client that knows better."""
    async with serving(echo, LIMITS) as server, connect(server) as client:
        for path, status in (("/a", 200), ("/../a", 400)):
            head = await client.ask(1 if status == 200 else 3, [(":method", "HEAD"), *GET[1:3], (":path", path)])
            assert (head.status, head.body) == (status, b"")
            assert int(head.headers["content-length"]) > 0
        options = await client.ask(5, [(":method", "OPTIONS"), *GET[1:3], (":path", "*")])
        assert options.status == 204
        assert "GET" in options.headers["allow"]
        assert "content-length" not in options.headers


async def test_a_client_that_expects_to_be_asked_is_asked() -> None:
    """curl sends large bodies only when told to go on."""
    async with serving(echo, LIMITS) as server, connect(server) as client:
        await client.send(client.head(1, [*POST, ("expect", "100-continue")], end=False))
        assert (await client.answer(1)).status == 100
        await client.send(data(1, b"abc", end=True))
        assert (await client.answer(1)).json[3] == "abc"


async def test_trailers_end_a_body_and_are_not_seen() -> None:
    """gRPC-minded clients send them."""
    async with serving(echo, LIMITS) as server, connect(server) as client:
        await client.send(client.head(1, POST, end=False), data(1, b"abc"), client.head(1, [("x-checksum", "1")]))
        assert (await client.answer(1)).json[3] == "abc"


async def test_a_large_body_is_let_in_piece_by_piece() -> None:
    """Windows are given back as bytes are taken in, or uploads would stop at the first."""

    async def size(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, str(len(request.body)).encode())

    async with serving(size, Http1Limits(max_body_bytes=4 * 2**20)) as server, connect(server) as client:
        await client.send(client.head(1, POST, end=False))
        room = {0: 65_535, 1: 65_535}
        left, granted = 4 * 2**20, 0
        settings = await client.next(SettingsFrame)
        room[1] = settings.settings[4]
        while left:
            piece = min(16_384, left, *room.values())
            if piece:
                await client.send(data(1, bytes(piece), end=piece == left))
                left -= piece
                room = {stream_id: size - piece for stream_id, size in room.items()}
            else:
                frame = await client.frame()
                room[frame.stream_id] += getattr(frame, "window_increment", 0)
                granted += 1
        assert (await client.answer(1)).body == str(4 * 2**20).encode()
        assert granted < 200, "a window update for every frame would be a waste"


async def test_answers_share_the_line() -> None:
    """A long answer must not make a short one wait for its end."""

    async def sized(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, bytes(int(request.query)))

    async with serving(sized, LIMITS) as server, connect(server, INITIAL_WINDOW_SIZE=2**24) as client:
        client.refill = False
        await client.send(
            window(0, 2**24),
            client.head(1, [*GET[:3], (":path", "/a?600000")]),
            client.head(3, [*GET[:3], (":path", "/a?40000")]),
        )
        ended: list[int] = []
        while len(ended) < 2:
            frame = await client.frame()
            if "END_STREAM" in frame.flags:
                ended.append(frame.stream_id)
        assert ended == [3, 1]


async def test_windows_are_kept_and_used_to_the_last_byte() -> None:
    """A byte too much ends the connection at the client; a byte kept back stops the answer for ever."""
    async with serving(large(1000), LIMITS) as server, connect(server, INITIAL_WINDOW_SIZE=10) as client:
        client.refill = False
        await client.send(client.head(1))
        assert len((await client.next(DataFrame, 1)).data) == 10
        await client.send(SettingsFrame(0, {4: 30}))
        assert len((await client.next(DataFrame, 1)).data) == 20
        await client.send(SettingsFrame(0, {4: 0}), window(1, 40))
        assert len((await client.next(DataFrame, 1)).data) == 10, "the window was at -30"
        await client.send(window(1, 960))
        rest = await client.next(DataFrame, 1)
        assert (len(rest.data), "END_STREAM" in rest.flags) == (960, True)


async def test_the_window_of_the_connection_is_shared() -> None:
    """65,535 bytes for all answers together, until the client gives more."""
    async with serving(large(40_000), LIMITS) as server, connect(server) as client:
        client.refill = False
        await client.send(client.head(1), client.head(3))
        got = 0
        while got < 65_535:
            frame = await client.frame()
            got += len(frame.data) if isinstance(frame, DataFrame) else 0
        assert got == 65_535
        await client.send(window(0, 14_465))
        while got < 80_000:
            frame = await client.frame()
            got += len(frame.data) if isinstance(frame, DataFrame) else 0
        assert got == 80_000


async def test_an_answer_with_a_header_longer_than_a_frame() -> None:
    """Names of outputs and cache tiers may be many."""

    async def wordy(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, b"x", headers={"X-Long": "y" * 40_000})

    async with serving(wordy, LIMITS) as server, connect(server) as client:
        client.decoder.max_header_list_size = 2**20
        await client.send(client.head(1))
        head = await client.next(HeadersFrame, 1)
        assert "END_HEADERS" not in head.flags
        block = bytes(head.data)
        while "END_HEADERS" not in head.flags:
            head = await client.frame()
            block += head.data
        assert len(dict(client.decoder.decode(block))["x-long"]) == 40_000


# -- handlers that fail --------------------------------------------------------------------------------------------


async def _raise(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("secret detail")


async def _leak_cancellation(request: HttpRequest) -> HttpResponse:
    raise asyncio.CancelledError


async def _inject(request: HttpRequest) -> HttpResponse:
    return HttpResponse(200, headers={"X-A": "b\r\nSet-Cookie: c"})


@pytest.mark.parametrize("handler", [_raise, _leak_cancellation, _inject])
async def test_a_failing_handler_is_an_incident_and_not_a_traceback(
    handler: Callable[[HttpRequest], asyncio.Future[HttpResponse]], caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets an id, the log has the cause under it, and the connection lives on."""
    async with serving(handler, LIMITS) as server, connect(server) as client:
        for stream_id in (1, 3):
            answer = await client.ask(stream_id)
            assert (answer.status, answer.json["code"]) == (500, "internal")
            assert b"secret" not in answer.body
            assert answer.json["error"].split()[-1] in caplog.records[-1].getMessage()


# -- limits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_the_limit_gets_413_before_it_is_there(announced: bool) -> None:
    """The client is told to stop (RFC 9113, section 8.1), and the others go on."""
    async with serving(echo, LIMITS) as server, connect(server) as client:
        head = client.head(1, posted(2049) if announced else POST, end=False)
        await client.send(head, *([] if announced else [data(1, bytes(1500)), data(1, bytes(549))]))
        answer = await client.answer(1)
        assert (answer.status, answer.json["code"]) == (413, "too_large")
        assert await client.reset(1) == Code.NO_ERROR
        await client.send(data(1, bytes(16_384)), data(1, b"", end=True))
        assert (await client.ask(3)).status == 200
        assert server.in_flight_bytes == 0


async def test_thrown_away_bodies_give_the_connection_s_window_back() -> None:
    """Megabytes of refused uploads must not stop the next one for want of room."""
    async with serving(echo, LIMITS) as server, connect(server) as client:
        await client.next(SettingsFrame)
        room = 2**20
        for stream_id in range(1, 33, 2):
            await client.send(client.head(stream_id, posted(10**6), end=False))
            assert (await client.answer(stream_id)).status == 413
            await client.send(*[data(stream_id, bytes(16_384))] * 16)
            room -= 16 * 16_384
            while room < 2**19:
                room += int((await client.next(WindowUpdateFrame, 0)).window_increment)
        assert (await client.ask(33, POST, b"abc")).status == 200


async def test_more_than_the_window_lets_is_a_mistake() -> None:
    """A refused body gets no more room, and a client that sends on all the same is not listened to."""
    async with serving(echo, LIMITS) as server, connect(server, INITIAL_WINDOW_SIZE=0) as client:
        await client.send(client.head(1, posted(10**6), end=False))
        await client.next(HeadersFrame, 1)
        await client.send(*[data(1, bytes(16_384))] * 17)
        assert await client.reset(1) == Code.FLOW_CONTROL_ERROR


@pytest.mark.parametrize("begun", ["headers", "body"])
async def test_a_slow_sender_gets_408_and_the_others_go_on(begun: str) -> None:
    """A request that never ends must not hold its place for ever."""
    async with serving(echo, HASTY) as server, connect(server) as client:
        await client.send(client.head(1, POST, end=False), *([data(1, b"x")] if begun == "body" else []))
        await client.send(client.head(3))
        assert (await client.answer(3)).status == 200
        answer = await client.answer(1)
        assert (answer.status, answer.json["code"]) == (408, "slow_sender")
        assert await client.reset(1) == Code.NO_ERROR
        assert (await client.ask(5, POST, b"abc")).status == 200
        assert server.in_flight_bytes == 0


@pytest.mark.parametrize("begun", [b"\x00", PingFrame(0).serialize()[:12], HeadersFrame(1, b"\x82").serialize()])
async def test_a_frame_or_block_that_never_ends_ends_the_connection(begun: bytes) -> None:
    """Nothing else can come before the rest."""
    async with serving(echo, HASTY) as server, connect(server) as client:
        await client.send(begun)
        assert (await client.goaway()).error_code == Code.NO_ERROR
        await client.ended()


async def test_one_deadline_for_the_whole_request() -> None:
    """A client that sends a byte now and then must not win time by it."""

    async def dribble(client: Client) -> None:
        while True:
            await client.send(data(1, b"x"))
            await asyncio.sleep(0.01)

    async with serving(echo, HASTY) as server, connect(server) as client:
        await client.send(client.head(1, POST, end=False))
        dribbling = asyncio.create_task(dribble(client))
        assert (await client.answer(1)).status == 408
        dribbling.cancel()
        await asyncio.wait([dribbling])


async def test_silent_connections_are_told_and_closed() -> None:
    """Before the first request and between two; pings are no requests."""
    async with (
        serving(echo, Http1Limits(idle_timeout_s=0.05)) as server,
        connect(server) as silent,
        connect(server) as quiet,
    ):
        assert (await quiet.ask(1)).status == 200
        for client in (silent, quiet):
            await client.send(PingFrame(0))
            assert (await client.goaway()).error_code == Code.NO_ERROR
            await client.ended()
        await until(lambda: server.connections == 0)


async def test_streams_over_the_bound_are_refused_and_may_be_tried_again() -> None:
    """REFUSED_STREAM says that nothing was done (RFC 9113, section 8.7)."""
    gate = Gate()
    async with serving(gate, LIMITS) as server, connect(server) as client:
        await client.send(*[client.head(stream_id) for stream_id in range(1, 2 * 257 + 1, 2)])
        assert await client.reset(513) == Code.REFUSED_STREAM
        assert gate.entered == 256
        gate.open.set()
        for stream_id in range(1, 513, 2):
            assert (await client.answer(stream_id)).status == 200
        assert (await client.ask(515)).status == 200


async def test_handlers_that_are_being_cancelled_keep_their_places() -> None:
    """Otherwise resets would start more of them than there may be."""
    freed = asyncio.Event()
    running = 0

    async def stubborn(request: HttpRequest) -> HttpResponse:
        nonlocal running
        running += 1
        try:
            await asyncio.Event().wait()
        finally:
            await freed.wait()
            running -= 1
        raise AssertionError

    async with serving(stubborn, LIMITS) as server, connect(server) as client:
        for stream_id in range(1, 401, 2):
            await client.send(client.head(stream_id))
        await until(lambda: running == 200)
        for stream_id in range(1, 401, 2):
            await client.send(cancel(stream_id))
        for stream_id in range(401, 601, 2):
            await client.send(client.head(stream_id))
        assert await client.reset(599) == Code.REFUSED_STREAM
        assert running == 256
        freed.set()
        client.leave()
        await until(lambda: running == 0)


async def test_requests_on_connections_over_the_bound_get_503() -> None:
    """The bound holds over both protocols, and a place that becomes free is given away."""
    async with serving(echo, Http1Limits(max_connections=2)) as server:
        async with connect(server) as first, http1.connect(server) as second:
            assert (await first.ask(1)).status == 200
            await second.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await second.answer()).status == 200
            async with connect(server) as third:
                answer = await third.ask(1)
                assert (answer.status, answer.json["code"]) == (503, "not_ready")
                assert answer.headers["retry-after"] == "1"
                await third.goaway()
                await third.ended()
            assert (await first.ask(3)).status == 200
        await until(lambda: server.connections == 0)
        async with connect(server) as client:
            assert (await client.ask(1)).status == 200


# -- bytes in flight -----------------------------------------------------------------------------------------------


async def test_a_body_for_which_there_is_no_room_is_refused() -> None:
    """The same bound as for HTTP/1.1, counted together; what is only announced keeps nobody out."""
    async with serving(echo, BOUNDED) as server, connect(server) as client, http1.connect(server) as other:
        await client.send(client.head(1, posted(8000), end=False), data(1, b"x" * 7999))
        await until(lambda: server.in_flight_bytes == 7999)
        assert (await client.ask(3, posted(2001), b"x" * 2001)).status == 200
        answer = await client.ask(5, posted(2002), b"x" * 2002)
        assert (answer.status, answer.json["code"]) == (429, "overloaded")
        assert answer.headers["retry-after"] == "1"
        await other.send(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2002\r\n\r\n")
        assert (await other.answer()).status == 429
        await client.send(client.head(7, POST, end=False), data(7, b"x" * 2002))
        assert (await client.answer(7)).status == 429, "nothing was announced, and the room is used up"
        await client.send(data(1, b"x", end=True))
        assert (await client.answer(1)).status == 200
        assert server.in_flight_bytes == 0


@pytest.mark.parametrize("how", ["leaves", "resets", "too slow", "refused", "malformed", "expelled", "fault"])
async def test_room_is_given_back_however_a_request_ends(how: str) -> None:
    """Bytes that stay counted would shut the server within days."""
    gate = Gate()
    limits = dataclasses.replace(BOUNDED, read_timeout_s=0.05 if how == "too slow" else 30.0)
    async with serving(gate, limits) as server, connect(server) as client:
        await client.send(client.head(1, posted(7000) if how == "malformed" else POST, end=False), data(1, bytes(5000)))
        if how == "expelled":
            await client.send(data(1, b"", end=True))
            await until(lambda: gate.entered == 1)
            assert server.in_flight_bytes == 5000
            await server.close(0.0)
        else:
            await until(lambda: server.in_flight_bytes == 5000 or how == "too slow")
            if how == "leaves":
                client.leave()
            elif how == "resets":
                await client.send(cancel(1))
            elif how == "refused":
                await client.send(data(1, bytes(3001)))
            elif how == "malformed":
                await client.send(data(1, b"", end=True))
            elif how == "fault":
                await client.send(PingFrame(0).serialize().replace(b"\x06", b"\x04"))
            await until(lambda: server.in_flight_bytes == 0)
        assert server.in_flight_bytes == 0


# -- clients that do not read --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["closed window", "closed socket"])
async def test_a_client_that_does_not_read_is_dropped(how: str) -> None:
    """An answer nobody takes must not stay in memory, whichever way it is not taken."""
    limits = Http1Limits(write_timeout_s=0.05)
    async with serving(large(8 * 2**20), limits) as server:
        room = 2**30 if how == "closed socket" else 1000
        async with connect(server, INITIAL_WINDOW_SIZE=room) as client:
            client.refill = False
            if how == "closed socket":
                client.stop_reading()
            await client.send(window(0, 2**30), client.head(1))
            if how == "closed window":
                assert await client.reset(1) == Code.CANCEL
                assert server.connections == 1, "others on it may be read"
            else:
                await until(lambda: server.connections == 0)
            await until(lambda: server.in_flight_bytes == 0)


async def test_a_client_that_gives_no_room_on_the_connection_is_dropped() -> None:
    """All its answers wait for one window."""
    async with serving(large(2**20), Http1Limits(write_timeout_s=0.05)) as server, connect(server) as client:
        client.refill = False
        await client.send(SettingsFrame(0, {4: 2**24}), client.head(1), client.head(3))
        await client.ended()
        await until(lambda: server.connections == 0 and server.in_flight_bytes == 0)


async def test_a_client_that_reads_slowly_but_steadily_gets_all() -> None:
    """The bound is on progress: large answers over thin lines arrive."""
    size = 2 * 2**20
    async with serving(large(size), Http1Limits(write_timeout_s=0.1)) as server, connect(server) as client:
        client.refill = False
        await client.send(client.head(1))
        await client.next(HeadersFrame, 1)
        left, started = size, asyncio.get_running_loop().time()
        while left:
            piece = len((await client.next(DataFrame, 1)).data)
            left -= piece
            await client.send(window(0, piece), window(1, piece))
            await asyncio.sleep(0.003)
        assert asyncio.get_running_loop().time() - started > 0.2, "the test was to take longer than one timeout"


async def test_slow_readers_hold_no_more_than_the_bound() -> None:
    """256 large answers on each of many connections must not add up: one each, and more while there is room."""
    limits = dataclasses.replace(LIMITS, max_in_flight_bytes=3 * 2**20)
    gate = Gate(2**20)
    async with serving(gate, limits) as server, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(server, INITIAL_WINDOW_SIZE=0)) for _ in range(4)]
        for client in clients:
            await client.send(*[client.head(stream_id) for stream_id in range(1, 65, 2)])
        await until(lambda: gate.entered == 4 * 32)
        gate.open.set()
        for client in clients:
            for _ in range(29):
                frame = None
                while not isinstance(frame, RstStreamFrame):
                    frame = await client.frame()
                assert frame.error_code == Code.ENHANCE_YOUR_CALM
        assert server.in_flight_bytes <= 3 * 2**20 + 4 * 2**20
        assert server.in_flight_bytes >= 4 * 2**20, "every connection keeps one"


async def test_a_client_that_takes_no_answer_gets_no_further_one() -> None:
    """Handlers do not run for answers that only wait."""
    asked = 0

    async def count(request: HttpRequest) -> HttpResponse:
        nonlocal asked
        asked += 1
        return HttpResponse(200, bytes(60_000))

    async with serving(count, LIMITS) as server, connect(server, INITIAL_WINDOW_SIZE=0) as client:
        for stream_id in range(1, 201, 2):
            await client.send(client.head(stream_id))
            await client.send(PingFrame(0))
            await client.next(PingFrame)
        assert asked < 5
        await client.send(SettingsFrame(0, {4: 2**24}), window(0, 2**24))
        for stream_id in range(1, 201, 2):
            assert len((await client.answer(stream_id)).body) == 60_000
        assert asked == 100
        assert server.in_flight_bytes == 0


# -- leaving -------------------------------------------------------------------------------------------------------


async def test_a_reset_cancels_its_handler_and_no_other() -> None:
    """Nobody waits for that answer any more: the work must stop, and nothing may be logged."""
    gate = Gate()
    async with serving(gate, LIMITS) as server, connect(server) as client:
        await client.send(client.head(1), client.head(3))
        await until(lambda: gate.entered == 2)
        await client.send(cancel(1))
        await until(lambda: gate.cancelled == 1)
        assert server.in_flight == 1
        gate.open.set()
        assert (await client.answer(3)).status == 200


@pytest.mark.parametrize("politely", [False, True])
async def test_leaving_cancels_all_handlers(politely: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A closed socket sends its FIN first, or a reset."""
    gate = Gate()
    async with serving(gate, LIMITS) as server, connect(server) as client:
        await client.send(client.head(1), client.head(3))
        await until(lambda: gate.entered == 2)
        if politely:
            client.writer.close()
        else:
            client.leave()
        await until(lambda: gate.cancelled == 2 and server.connections == 0 and server.in_flight == 0)
    assert not caplog.records


async def test_a_reset_before_the_first_step_leaves_nothing() -> None:
    """Both frames may come in one piece, or in the same turn of the loop."""
    async with serving(echo, LIMITS) as server, connect(server) as client:
        for stream_id in range(1, 101, 2):
            await client.send(client.head(stream_id).serialize() + cancel(stream_id).serialize())
        assert (await client.ask(101)).status == 200
        assert server.in_flight == 0


async def test_leaving_in_the_middle_of_an_answer_or_a_request() -> None:
    """The rest has nowhere to go, or never comes."""
    async with serving(large(32 * 2**20), LIMITS) as server:
        async with connect(server) as client:
            await client.send(client.head(1))
            await client.next(DataFrame, 1)
            await client.send(client.head(3, POST, end=False), data(3, b"x" * 100), client.head(5).serialize()[:12])
        await until(lambda: server.connections == 0 and server.in_flight_bytes == 0)


async def test_a_client_that_says_it_leaves_gets_its_answers_first() -> None:
    """GOAWAY of a client is about what the server might begin."""
    gate = Gate()
    async with serving(gate, LIMITS) as server, connect(server) as client:
        await client.send(client.head(1))
        await until(lambda: gate.entered == 1)
        await client.send(GoAwayFrame(0))
        gate.open.set()
        assert (await client.answer(1)).status == 200
        await client.ended()
        client.leave()
        await until(lambda: server.connections == 0)


# -- floods --------------------------------------------------------------------------------------------------------

FLOODS: dict[str, Callable[[Client, int], list[bytes]]] = {
    "rapid reset": lambda c, i: [c.head(2 * i + 1).serialize(), cancel(2 * i + 1).serialize()],
    "resets by malformed requests": lambda c, i: [c.head(2 * i + 1, [*GET, ("X-A", "1")]).serialize()],
    "resets that we are made to send": lambda c, i: [
        c.head(2 * i + 1, POST, end=False).serialize(),
        b"\x00\x00\x04\x08\x00" + (2 * i + 1).to_bytes(4, "big") + bytes(4),
    ],
    "settings": lambda c, i: [SettingsFrame(0, {4: 65_535}).serialize()],
    "pings": lambda c, i: [PingFrame(0).serialize()],
    "empty data": lambda c, i: [
        *([c.head(1, POST, end=False).serialize()] if i == 0 else []),
        data(1, b"").serialize(),
    ],
    "tiny data": lambda c, i: [
        *([c.head(1, POST, end=False).serialize()] if i == 0 else []),
        data(1, b"x").serialize(),
    ],
    "window updates": lambda c, i: [window(0, 1).serialize()],
    "priorities": lambda c, i: [b"\x00\x00\x05\x02\x00\x00\x00\x00\x01" + bytes(5)],
    "extensions": lambda c, i: [b"\x00\x00\x00\xfa\x00\x00\x00\x00\x01"],
    "late resets": lambda c, i: [*([c.head(1).serialize()] if i == 0 else []), cancel(1).serialize()],
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_flood_is_ended_and_told_in_one_line(flood: str, caplog: pytest.LogCaptureFixture) -> None:
    """Frames that cost us more than them end with ENHANCE_YOUR_CALM, and the next client is served."""
    gate = Gate()
    async with serving(gate, Http1Limits()) as server:
        async with connect(server) as client:
            pieces = [b"".join(FLOODS[flood](client, count)) for count in range(2500)]
            with caplog.at_level(logging.WARNING):
                await client.send(*[b"".join(pieces[at : at + 50]) for at in range(0, 2500, 50)])
                bye = await client.goaway()
                await client.ended()
            assert bye.error_code == Code.ENHANCE_YOUR_CALM
        lines = [record.getMessage() for record in caplog.records if record.name.startswith("mlserve")]
        assert len(lines) == 1
        assert "127.0.0.1 was closed" in lines[0]
        assert gate.entered < 300
        gate.open.set()
        await until(lambda: server.in_flight == 0)
        async with connect(server) as client:
            assert (await client.ask(1)).status == 200


async def test_a_busy_client_is_no_flood() -> None:
    """Many answers, each read in small pieces and acknowledged on both windows, and some cancelled."""
    async with serving(large(20_000), LIMITS) as server, connect(server) as client:
        for stream_id in range(1, 1601, 4):
            assert len((await client.ask(stream_id)).body) == 20_000
            await client.send(client.head(stream_id + 2), cancel(stream_id + 2), PingFrame(0))
        assert server.connections == 1


# -- stopping ------------------------------------------------------------------------------------------------------


async def test_stopping_finishes_what_has_begun_and_refuses_what_comes_after() -> None:
    """SIGTERM under load: nothing that was begun is lost, and what was not may be tried elsewhere."""
    gate = Gate()
    async with serving(gate, LIMITS) as server, connect(server) as busy, connect(server) as idle:
        await busy.send(busy.head(1), busy.head(3, POST, end=False))
        await until(lambda: gate.entered == 1 and server.connections == 2)
        await server.stop_accepting()
        closing = asyncio.create_task(server.close(5.0))
        first = await busy.goaway()
        assert (first.error_code, first.last_stream_id) == (Code.NO_ERROR, 2**31 - 1)
        await busy.send(busy.head(5))
        last = await busy.goaway()
        assert (last.error_code, last.last_stream_id) == (Code.NO_ERROR, 5)
        await busy.send(busy.head(7))
        assert await busy.reset(7) == Code.REFUSED_STREAM
        await busy.send(data(3, b"abc", end=True))
        gate.open.set()
        for stream_id in (1, 3, 5):
            assert (await busy.answer(stream_id)).status == 200
        await idle.ended()
        await busy.ended()
        await closing
        assert (server.connections, server.in_flight) == (0, 0)


async def test_a_request_on_its_way_to_an_idle_connection_is_still_answered() -> None:
    """A client may send just when the stop begins; it must not find the connection gone."""
    async with serving(echo, LIMITS) as server, connect(server) as client:
        assert (await client.ask(1)).status == 200
        await server.stop_accepting()
        assert (await client.ask(3)).status == 200


async def test_closing_cancels_what_does_not_finish_and_says_so() -> None:
    """The bound of a stop holds, and the client learns what it may try elsewhere."""
    gate = Gate()
    async with serving(gate, LIMITS) as server, connect(server) as client:
        await client.send(client.head(1), client.head(3, POST, end=False))
        await until(lambda: gate.entered == 1)
        closing = asyncio.create_task(server.close(0.01))
        answer = await client.answer(1)
        assert (answer.status, answer.json["code"]) == (503, "not_ready")
        assert await client.reset(3) == Code.REFUSED_STREAM
        assert gate.cancelled == 1
        client.leave()
        await closing
        assert (server.connections, server.in_flight) == (0, 0)


async def test_a_cancelled_close_cuts_every_connection() -> None:
    """A second signal ends at once."""
    gate = Gate()
    async with serving(gate, LIMITS) as server, connect(server) as client:
        await client.send(client.head(1))
        await until(lambda: gate.entered == 1)
        closing = asyncio.create_task(server.close(60.0))
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await until(lambda: gate.cancelled == 1 and server.connections == 0)


async def test_a_client_that_talks_on_after_the_end_is_cut() -> None:
    """What comes after GOAWAY is thrown away, within a bound of bytes and of time."""
    async with serving(echo, LIMITS) as server, connect(server) as client:
        await client.send(b"\x00\x00\x00\x05\x04\x00\x00\x00\x01", *[bytes(65_536)] * 64)
        await until(lambda: server.connections == 0)


# -- the other loop ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scenario",
    [
        test_a_cancelled_close_cuts_every_connection,
        test_a_client_that_gives_no_room_on_the_connection_is_dropped,
        test_a_client_that_reads_slowly_but_steadily_gets_all,
        test_a_client_that_says_it_leaves_gets_its_answers_first,
        test_a_client_that_takes_no_answer_gets_no_further_one,
        test_a_client_that_talks_on_after_the_end_is_cut,
        test_a_large_body_is_let_in_piece_by_piece,
        test_a_request_on_its_way_to_an_idle_connection_is_still_answered,
        test_a_reset_before_the_first_step_leaves_nothing,
        test_a_reset_cancels_its_handler_and_no_other,
        test_answers_share_the_line,
        test_closing_cancels_what_does_not_finish_and_says_so,
        test_leaving_in_the_middle_of_an_answer_or_a_request,
        test_many_requests_at_once_are_answered_as_they_are_ready,
        test_requests_on_connections_over_the_bound_get_503,
        test_silent_connections_are_told_and_closed,
        test_slow_readers_hold_no_more_than_the_bound,
        test_stopping_finishes_what_has_begun_and_refuses_what_comes_after,
    ],
    ids=lambda scenario: scenario.__name__,
)
def test_uvloop_does_the_same(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    """The daemon runs on uvloop where there is one; its transports differ in what they allow when."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
