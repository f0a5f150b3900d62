"""A raw HTTP/2 client: it sends any frames in any pieces and reads answers with a bound on its patience.

Frames and header blocks are made and read by hyperframe and hpack's encoder, which the server does not use.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from mlserve.transport.http1 import Http1Limits, Http1Server
from mlserve.transport.message import Handler
from mlserve.transport.opening import Opening
from tests.support.http1 import PATIENCE_S, Answer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Fields = Iterable[tuple[str, str]]
GET = ((":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/a"))
POST = ((":method", "POST"), *GET[1:])


class Client:
    """One connection. Windows of answers are refilled as they are read, unless ``refill`` is False."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.refill = True
        self.frames: list[Frame] = []
        """What came and was not asked for."""

    async def send(self, *pieces: Frame | bytes) -> None:
        """Write each piece by itself; a server that has already closed is no error."""
        for piece in pieces:
            self.writer.write(piece if isinstance(piece, bytes) else piece.serialize())
            try:
                await self.writer.drain()
            except ConnectionError:
                return

    async def greet(self, **settings: int) -> None:
        """The client's side of the beginning, with ``settings`` by hyperframe's names."""
        await self.send(PREFACE)
        await self.greet_without_preface(**settings)

    async def greet_without_preface(self, **settings: int) -> None:
        """What follows it."""
        await self.send(SettingsFrame(0, {getattr(SettingsFrame, name): value for name, value in settings.items()}))

    def head(self, stream_id: int, fields: Fields = GET, *, end: bool = True) -> HeadersFrame:
        """A whole header block."""
        flags = ["END_HEADERS", *(["END_STREAM"] if end else [])]
        return HeadersFrame(stream_id, self.encoder.encode(list(fields)), flags=flags)

    def pieces(self, stream_id: int, fields: Fields, size: int, *, end: bool = True) -> list[Frame]:
        """A header block in frames of ``size``."""
        block = self.encoder.encode(list(fields))
        cuts = [block[at : at + size] for at in range(0, len(block), size)]
        frames: list[Frame] = [HeadersFrame(stream_id, cuts[0], flags=["END_STREAM"] if end else [])]
        frames += [ContinuationFrame(stream_id, cut) for cut in cuts[1:]]
        frames[-1].flags.add("END_HEADERS")
        return frames

    async def ask(self, stream_id: int, fields: Fields = GET, body: bytes = b"") -> Answer:
        """A whole request, and its answer."""
        await self.send(
            self.head(stream_id, fields, end=not body), *([data(stream_id, body, end=True)] if body else [])
        )
        return await self.answer(stream_id)

    async def frame(self, patience_s: float = PATIENCE_S) -> Frame:
        """The next frame, whatever it is. Raises if none comes in time or the connection ends first."""
        async with asyncio.timeout(patience_s):
            frame, length = Frame.parse_frame_header(memoryview(await self.reader.readexactly(9)))
            frame.parse_body(memoryview(await self.reader.readexactly(length)))
        if isinstance(frame, DataFrame) and frame.data and self.refill:
            await self.send(window(0, len(frame.data)), window(frame.stream_id, len(frame.data)))
        return frame

    async def next(self, kind: type[Frame], stream_id: int = 0, patience_s: float = PATIENCE_S) -> Any:
        """The next ``kind`` of frame on that stream; others are kept for whoever asks."""
        for kept in self.frames:
            if isinstance(kept, kind) and kept.stream_id == stream_id:
                self.frames.remove(kept)
                return kept
        while True:
            frame = await self.frame(patience_s)
            if isinstance(frame, kind) and frame.stream_id == stream_id:
                return frame
            self.frames.append(frame)

    async def answer(self, stream_id: int) -> Answer:
        """The next answer on that stream. Fails if the stream is reset before it is whole."""
        head: Any = None
        body = b""
        while True:
            frame = await self._of(stream_id)
            if isinstance(frame, HeadersFrame):
                fields = [(str(name), str(value)) for name, value in self.decoder.decode(frame.data)]
                head = dict(fields)
                assert len(head) == len(fields), f"a header stands twice: {fields}"
                assert fields[0][0] == ":status"
                if head[":status"] == "100":
                    return Answer(100, {}, b"")
            elif isinstance(frame, DataFrame):
                body += frame.data
            else:
                raise AssertionError(f"in place of an answer: {frame}")
            if "END_STREAM" in frame.flags:
                return Answer(int(head.pop(":status")), head, body)

    async def _of(self, stream_id: int) -> Frame:
        for kept in self.frames:
            if kept.stream_id == stream_id and not isinstance(kept, WindowUpdateFrame):
                self.frames.remove(kept)
                return kept
        while True:
            frame = await self.frame()
            if isinstance(frame, GoAwayFrame) and frame.error_code:
                raise AssertionError(f"the connection ends: {frame}")
            if frame.stream_id == stream_id and not isinstance(frame, WindowUpdateFrame):
                return frame
            self.frames.append(frame)

    async def reset(self, stream_id: int) -> int:
        """The code with which the server resets that stream."""
        return int((await self.next(RstStreamFrame, stream_id)).error_code)

    async def goaway(self) -> GoAwayFrame:
        """The server's last word."""
        frame: GoAwayFrame = await self.next(GoAwayFrame)
        return frame

    async def ended(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until the server has closed."""
        async with asyncio.timeout(patience_s):
            try:
                while await self.reader.read(65_536):
                    pass
            except ConnectionError:
                return

    def stop_reading(self) -> None:
        """What the server sends stays with it from now on, as far as the kernel lets it."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket transport has it

    def leave(self) -> None:
        self.writer.transport.abort()


def data(stream_id: int, body: bytes, *, end: bool = False) -> DataFrame:
    return DataFrame(stream_id, body, flags=["END_STREAM"] if end else [])


def window(stream_id: int, increment: int) -> WindowUpdateFrame:
    return WindowUpdateFrame(stream_id, increment)


def cancel(stream_id: int) -> RstStreamFrame:
    return RstStreamFrame(stream_id, error_code=8)


@asynccontextmanager
async def connect(server: Http1Server, *, greet: bool = True, **settings: int) -> AsyncIterator[Client]:
    """A client that has said what a client says first, unless ``greet`` is False."""
    reader, writer = await asyncio.open_connection(*server.address)
    client = Client(reader, writer)
    try:
        if greet:
            await client.greet(**settings)
        yield client
    finally:
        client.leave()


@asynccontextmanager
async def serving(handler: Handler, limits: Http1Limits, **options: Any) -> AsyncIterator[Http1Server]:
    """A server of both protocols on a free port of the loopback, cut down at the end."""
    server = Http1Server(handler, limits, front=Opening)
    await server.start("127.0.0.1", 0, **options)
    try:
        yield server
    finally:
        await server.close(0.0)
