"""What RFC 9113 says must happen, frame by frame: which mistakes end a stream, which the connection, and which nothing.

A case is one line: a name, what the client sends, and the code that it gets. Every case of a stream is followed by a
request on another one, which must be answered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hyperframe.frame import Frame, HeadersFrame, PingFrame, PriorityFrame, RstStreamFrame, SettingsFrame

from mlserve.transport.http1 import Http1Limits
from mlserve.transport.http2_frames import Code
from mlserve.transport.message import HttpRequest, HttpResponse
from tests.support.http2 import GET, POST, Client, cancel, connect, data, serving, window

LIMITS = Http1Limits(max_header_bytes=1024, max_body_bytes=2048, read_timeout_s=30.0)


async def count_body(request: HttpRequest) -> HttpResponse:
    return HttpResponse(200, str(len(request.body)).encode())


@dataclass(frozen=True)
class Case:
    """``sends`` makes the pieces to send after the greeting."""

    name: str
    code: Code
    sends: Callable[[Client], list[Frame | bytes]]


def raw(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


CONNECTION = [
    Case("DATA on no stream", Code.PROTOCOL_ERROR, lambda c: [raw(0, 0, 0, b"x")]),
    Case("DATA on an idle stream", Code.PROTOCOL_ERROR, lambda c: [data(5, b"x")]),
    Case("DATA on a stream of ours", Code.PROTOCOL_ERROR, lambda c: [c.head(1), data(2, b"x")]),
    Case("DATA on a stream passed over", Code.PROTOCOL_ERROR, lambda c: [c.head(5), data(3, b"x")]),
    Case("DATA padded beyond its end", Code.PROTOCOL_ERROR, lambda c: [c.head(1, end=False), raw(0, 8, 1, b"\x05ab")]),
    Case("HEADERS on no stream", Code.PROTOCOL_ERROR, lambda c: [raw(1, 5, 0, c.head(1).data)]),
    Case("HEADERS on an even stream", Code.PROTOCOL_ERROR, lambda c: [c.head(2)]),
    Case("HEADERS on a lower stream", Code.PROTOCOL_ERROR, lambda c: [c.head(5), c.head(3)]),
    Case("HEADERS that cannot be decoded", Code.COMPRESSION_ERROR, lambda c: [raw(1, 5, 1, b"\xff\xff\xff\xff\xff")]),
    Case("HEADERS with an index of nothing", Code.COMPRESSION_ERROR, lambda c: [raw(1, 5, 1, b"\xfe")]),
    Case("HEADERS that enlarge our table", Code.COMPRESSION_ERROR, lambda c: [raw(1, 5, 1, b"\x3f\xe2\x1f\x82")]),
    Case("another frame in a header block", Code.PROTOCOL_ERROR, lambda c: [HeadersFrame(1, b"\x82"), PingFrame(0)]),
    Case("another stream in a header block", Code.PROTOCOL_ERROR, lambda c: [HeadersFrame(1, b""), raw(9, 4, 3)]),
    Case("CONTINUATION behind no block", Code.PROTOCOL_ERROR, lambda c: [c.head(1), raw(9, 4, 1)]),
    Case("CONTINUATION without an end", Code.ENHANCE_YOUR_CALM, lambda c: [HeadersFrame(1, b""), *[raw(9, 0, 1)] * 70]),
    Case("PRIORITY on no stream", Code.PROTOCOL_ERROR, lambda c: [raw(2, 0, 0, bytes(5))]),
    Case("PRIORITY of another size", Code.FRAME_SIZE_ERROR, lambda c: [raw(2, 0, 1, bytes(4))]),
    Case("RST_STREAM on no stream", Code.PROTOCOL_ERROR, lambda c: [raw(3, 0, 0, bytes(4))]),
    Case("RST_STREAM on an idle stream", Code.PROTOCOL_ERROR, lambda c: [cancel(1)]),
    Case("RST_STREAM of another size", Code.FRAME_SIZE_ERROR, lambda c: [c.head(1), raw(3, 0, 1, bytes(3))]),
    Case("SETTINGS on a stream", Code.PROTOCOL_ERROR, lambda c: [raw(4, 0, 1)]),
    Case("SETTINGS cut short", Code.FRAME_SIZE_ERROR, lambda c: [raw(4, 0, 0, bytes(5))]),
    Case("SETTINGS that acknowledge and set", Code.FRAME_SIZE_ERROR, lambda c: [raw(4, 1, 0, bytes(6))]),
    Case("SETTINGS out of range", Code.FLOW_CONTROL_ERROR, lambda c: [SettingsFrame(0, {4: 2**31})]),
    Case("PUSH_PROMISE", Code.PROTOCOL_ERROR, lambda c: [raw(5, 4, 1, bytes(4))]),
    Case("PING on a stream", Code.PROTOCOL_ERROR, lambda c: [raw(6, 0, 1, bytes(8))]),
    Case("PING of another size", Code.FRAME_SIZE_ERROR, lambda c: [raw(6, 0, 0, bytes(7))]),
    Case("GOAWAY on a stream", Code.PROTOCOL_ERROR, lambda c: [raw(7, 0, 1, bytes(8))]),
    Case("GOAWAY cut short", Code.FRAME_SIZE_ERROR, lambda c: [raw(7, 0, 0, bytes(7))]),
    Case("WINDOW_UPDATE of another size", Code.FRAME_SIZE_ERROR, lambda c: [raw(8, 0, 0, bytes(3))]),
    Case("WINDOW_UPDATE by nothing", Code.PROTOCOL_ERROR, lambda c: [raw(8, 0, 0, bytes(4))]),
    Case("WINDOW_UPDATE on an idle stream", Code.PROTOCOL_ERROR, lambda c: [window(1, 1)]),
    Case("WINDOW_UPDATE beyond its bound", Code.FLOW_CONTROL_ERROR, lambda c: [window(0, 2**31 - 1)]),
    Case(
        "SETTINGS that move a window beyond its bound",
        Code.FLOW_CONTROL_ERROR,
        lambda c: [c.head(1, POST, end=False), window(1, 2**31 - 1 - 65_535), SettingsFrame(0, {4: 65_536})],
    ),
    Case("a frame that is too long", Code.FRAME_SIZE_ERROR, lambda c: [b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"]),
]  # fmt: skip

STREAM = [
    Case("malformed header", Code.PROTOCOL_ERROR, lambda c: [c.head(1, [*GET, ("X-A", "1")])]),
    Case("connection-specific header", Code.PROTOCOL_ERROR, lambda c: [c.head(1, [*GET, ("upgrade", "h2c")])]),
    Case("no path", Code.PROTOCOL_ERROR, lambda c: [c.head(1, GET[:3])]),
    Case("body announced and none sent", Code.PROTOCOL_ERROR, lambda c: [c.head(1, [*GET, ("content-length", "1")])]),
    Case(
        "body shorter than announced",
        Code.PROTOCOL_ERROR,
        lambda c: [c.head(1, [*POST, ("content-length", "4")], end=False), data(1, b"abc", end=True)],
    ),
    Case(
        "body longer than announced",
        Code.PROTOCOL_ERROR,
        lambda c: [c.head(1, [*POST, ("content-length", "2")], end=False), data(1, b"abc")],
    ),
    Case(
        "trailers instead of the rest",
        Code.PROTOCOL_ERROR,
        lambda c: [c.head(1, [*POST, ("content-length", "2")], end=False), c.head(1, [("x-a", "1")])],
    ),
    Case(
        "trailers that do not end the stream",
        Code.PROTOCOL_ERROR,
        lambda c: [c.head(1, POST, end=False), c.head(1, [("x-a", "1")], end=False)],
    ),
    Case(
        "trailers with a path",
        Code.PROTOCOL_ERROR,
        lambda c: [c.head(1, POST, end=False), c.head(1, [(":path", "/b")])],
    ),
    Case(
        "WINDOW_UPDATE by nothing",
        Code.PROTOCOL_ERROR,
        lambda c: [c.head(1, POST, end=False), raw(8, 0, 1, bytes(4))],
    ),
    Case(
        "WINDOW_UPDATE beyond its bound",
        Code.FLOW_CONTROL_ERROR,
        lambda c: [c.head(1, POST, end=False), window(1, 2**31 - 1)],
    ),
    Case(
        "DATA after a reset",
        Code.STREAM_CLOSED,
        lambda c: [c.head(1, POST, end=False), cancel(1), data(1, b"x")],
    ),
    Case(
        "HEADERS after a reset",
        Code.STREAM_CLOSED,
        lambda c: [c.head(1, POST, end=False), cancel(1), c.head(1)],
    ),
    Case("DATA after the end", Code.STREAM_CLOSED, lambda c: [c.head(1).serialize() + data(1, b"x").serialize()]),
    Case("HEADERS after the end", Code.STREAM_CLOSED, lambda c: [c.head(1).serialize() + c.head(1).serialize()]),
]  # fmt: skip


def named(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", CONNECTION, ids=named)
async def test_a_mistake_that_ends_the_connection(case: Case) -> None:
    """GOAWAY says why, the connection ends, and the next one is served."""
    async with serving(count_body, LIMITS) as server:
        async with connect(server) as client:
            await client.send(*case.sends(client))
            bye = await client.goaway()
            assert Code(bye.error_code) is case.code
            await client.ended()
        async with connect(server) as client:
            assert (await client.ask(1)).status == 200


@pytest.mark.parametrize("case", STREAM, ids=named)
async def test_a_mistake_that_ends_one_stream(case: Case) -> None:
    """Whoever shares the connection must not pay for it."""
    async with serving(count_body, LIMITS) as server, connect(server) as client:
        await client.send(*case.sends(client))
        assert Code(await client.reset(1)) is case.code
        assert (await client.ask(3)).status == 200


async def test_frames_after_an_answered_request_end_the_connection() -> None:
    """A stream that was answered does not come back (RFC 9113, section 5.1)."""
    async with serving(count_body, LIMITS) as server:
        for what in ("DATA", "HEADERS"):
            async with connect(server) as client:
                assert (await client.ask(1)).status == 200
                await client.send(data(1, b"x") if what == "DATA" else client.head(1))
                bye = await client.goaway()
                assert (bye.error_code, bye.last_stream_id) == (Code.STREAM_CLOSED, 1)


@pytest.mark.parametrize(
    "first", [PingFrame(0), window(0, 1), SettingsFrame(0, flags=["ACK"]), PriorityFrame(1, depends_on=0)]
)
async def test_the_first_frame_has_to_be_settings(first: Frame) -> None:
    """RFC 9113, section 3.4."""
    async with serving(count_body, LIMITS) as server, connect(server, greet=False) as client:
        await client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", first)
        assert (await client.goaway()).error_code == Code.PROTOCOL_ERROR


async def test_the_server_says_its_limits_first() -> None:
    """Clients must know them before they hit them; pushing is never spoken of."""
    async with serving(count_body, LIMITS) as server, connect(server) as client:
        settings = await client.frame()
        assert isinstance(settings, SettingsFrame)
        assert settings.settings == {3: 256, 4: 256 * 1024, 6: 1024}
        acknowledged = await client.next(SettingsFrame)
        assert "ACK" in acknowledged.flags


async def test_what_is_allowed_is_passed_over() -> None:
    """Priorities, extensions, late resets and updates, padding: every day's frames must not disturb."""
    async with serving(count_body, LIMITS) as server, connect(server) as client:
        await client.send(
            PriorityFrame(7, depends_on=7),
            raw(0xFA, 0xFF, 1, b"extension"),
            raw(0xFA, 0xFF, 0),
            SettingsFrame(0, {0xFAFA: 1, 3: 0, 6: 0}),
            SettingsFrame(0, flags=["ACK"]),
            PingFrame(0, bytes(8), flags=["ACK"]),
            HeadersFrame(
                1, client.head(1, POST).data, pad_length=9, flags=["PADDED", "PRIORITY", "END_HEADERS"], depends_on=1
            ),
            raw(0, 8, 1, b"\x03abc" + bytes(3)),
            data(1, b"", end=True),
        )
        answer = await client.answer(1)
        assert answer.body == b"3"
        await client.send(cancel(1), window(1, 5), PriorityFrame(1))
        await client.send(PingFrame(0, b"12345678"))
        pong = await client.next(PingFrame)
        assert (pong.opaque_data, "ACK" in pong.flags) == (b"12345678", True)
        assert (await client.ask(3)).status == 200


async def test_frames_that_crossed_with_our_reset_are_passed_over() -> None:
    """A client that has not yet read of it is not at fault."""
    async with serving(count_body, LIMITS) as server, connect(server) as client:
        await client.send(client.head(1, [*POST, ("X-A", "1")], end=False))
        assert await client.reset(1) == Code.PROTOCOL_ERROR
        await client.send(data(1, b"x" * 100), client.head(1, [("x-b", "1")]), window(1, 1), cancel(1))
        assert (await client.ask(3, [*GET, ("x-b", "1")])).status == 200


async def test_a_header_block_in_many_pieces_is_one() -> None:
    """Clients with cookies and tokens cut them."""
    fields = [*GET, ("x-a", "1" * 300)]
    async with serving(count_body, LIMITS) as server, connect(server) as client:
        await client.send(*client.pieces(1, fields, 7))
        assert (await client.answer(1)).status == 200


async def test_the_client_s_table_size_is_acknowledged_in_the_next_block() -> None:
    """Decoders that lowered their table wait for the word (RFC 7541, section 4.2); we use none at all."""
    async with serving(count_body, LIMITS) as server, connect(server, HEADER_TABLE_SIZE=0) as client:
        client.decoder.max_allowed_table_size = 0
        client.decoder.header_table_size = 0
        await client.send(client.head(1))
        block = (await client.next(HeadersFrame, 1)).data
        assert block[0] == 0x20
        assert (await client.ask(3)).status == 200


async def test_reset_of_what_is_not_whole_gives_its_place_back() -> None:
    """A client that changes its mind in the middle of a body."""
    async with serving(count_body, LIMITS) as server, connect(server) as client:
        for stream_id in range(1, 201, 2):
            await client.send(client.head(stream_id, POST, end=False), data(stream_id, b"x"), cancel(stream_id))
        assert (await client.ask(201, POST, b"abc")).body == b"3"
        assert server.in_flight_bytes == 0
        assert not [frame for frame in client.frames if isinstance(frame, RstStreamFrame)]
