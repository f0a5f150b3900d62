"""The frames of one HTTP/2 client: which may come when, and what each does. No I/O.

RFC 9113, sections 5 and 6. :class:`Http2Connection` feeds what arrives and writes what the outbox has. A rule broken on
one stream ends that stream; :class:`ConnectionFault` is raised where nothing is left to rely on.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from mlserve.errors import NotReady, RequestError
from mlserve.transport import http2_frames as h2
from mlserve.transport.connection import TOO_MANY
from mlserve.transport.http2_blocks import HeaderBlocks
from mlserve.transport.http2_floods import Floods
from mlserve.transport.http2_frames import Code, ConnectionFault, Frame, FrameReader, Setting, StreamFault
from mlserve.transport.http2_head import Refused
from mlserve.transport.http2_stream import WINDOW, Stream
from mlserve.transport.http2_streams import MAX_STREAMS, Streams
from mlserve.transport.http2_wire import CONTINUE
from mlserve.transport.inflight import InFlightBytes
from mlserve.transport.limits import Http1Limits

CONNECTION_WINDOW: Final = 1024 * 1024
"""What a client may send of all bodies together before we take it in."""
_NEXT_TO_NOTHING: Final = 64
"""Pieces of a body that cost more to look at than to send."""


class Session:
    """``start`` and ``stop`` are those of :class:`Streams`.

    ``received`` is when the last bytes came, ``progress`` grows with each whole frame or header block. ``admits`` is
    False on a connection over ``MaxConnections``.
    """

    def __init__(
        self,
        limits: Http1Limits,
        in_flight: InFlightBytes,
        start: Callable[[Stream], None],
        stop: Callable[[Stream], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._floods = Floods(clock)
        self._frames = FrameReader()
        self._blocks = HeaderBlocks(limits)
        self._begun: tuple[int, bool] | None = None
        self._preface = h2.PREFACE
        self._greeted = False
        self._owed = 0
        self.streams = Streams(limits, in_flight, self._floods, start, stop, clock)
        self.outbox = self.streams.outbox
        self.received = 0.0
        self.progress = 0
        self.admits = True
        self.client_leaves = False

    def greet(self) -> None:
        """What the server says first (section 3.4)."""
        ours = {
            Setting.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
            Setting.INITIAL_WINDOW_SIZE: WINDOW,
            Setting.MAX_HEADER_LIST_SIZE: self._limits.max_header_bytes,
        }
        self.outbox.add(h2.settings(ours) + h2.window_update(0, CONNECTION_WINDOW - h2.DEFAULT_WINDOW))

    @property
    def unfinished(self) -> bool:
        """True while the preface, a frame or a header block waits for its rest."""
        return self._frames.unfinished or self._begun is not None or not self._greeted

    def receive(self, data: bytes) -> None:
        """Act on what came. Raises :class:`ConnectionFault` where the connection has to end."""
        self.received = self._clock()
        if self._preface:
            size = min(len(data), len(self._preface))
            if data[:size] != self._preface[:size]:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "the connection does not begin as HTTP/2")
            self._preface, data = self._preface[size:], data[size:]
        self._frames.feed(data)
        while (frame := self._frames.next()) is not None:
            self._act(frame)
            if self._begun is None:
                self.progress += 1

    def _act(self, frame: Frame) -> None:
        kind = frame.kind
        if self._begun is not None and (kind != h2.CONTINUATION or frame.stream_id != self._begun[0]):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "another frame came within a header block")
        if not self._greeted:
            if kind != h2.SETTINGS or frame.flags & h2.ACK:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._greeted = True
        if kind == h2.HEADERS:
            self._headers(frame)
        elif kind == h2.DATA:
            self._data(frame)
        elif kind == h2.CONTINUATION:
            self._continuation(frame)
        elif kind == h2.RST_STREAM:
            self._rst_stream(frame)
        elif kind == h2.WINDOW_UPDATE:
            self._window_update(frame)
        elif kind == h2.SETTINGS:
            self._settings(frame)
        else:
            self._floods.chatter()
            self._note(frame)

    # -- requests ------------------------------------------------------------------------------------------------------

    def _headers(self, frame: Frame) -> None:
        if frame.stream_id % 2 == 0:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "HEADERS on a stream that no client can open")
        self._begun = frame.stream_id, bool(frame.flags & h2.END_STREAM)
        self._add_to_block(frame, h2.unpadded(frame))

    def _continuation(self, frame: Frame) -> None:
        if self._begun is None:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION outside of a header block")
        self._add_to_block(frame, frame.payload)

    def _add_to_block(self, frame: Frame, piece: bytes) -> None:
        self._blocks.add(piece)
        if self._begun is None or not frame.flags & h2.END_HEADERS:
            return
        stream_id, end = self._begun
        self._begun = None
        stream = self.streams.open.get(stream_id)
        if stream is not None:
            self._trailers(stream, end)
        elif stream_id <= self.streams.last_id:
            self._blocks.skip()
            self.streams.too_late(stream_id, "HEADERS")
        else:
            self._begin(stream_id, end)

    def _begin(self, stream_id: int, end: bool) -> None:
        stream = self.streams.begin(stream_id, self.received)
        if stream is None:
            self._blocks.skip()
            return
        try:
            head = self._blocks.head()
            stream.head_only = head.method == "HEAD"
            if not self.admits:
                raise NotReady(TOO_MANY)
            stream.begin(head, end=end)
        except StreamFault as fault:
            self.streams.punish(stream, fault.code)
        except (Refused, RequestError) as error:
            stream.whole = end
            if isinstance(error, Refused):
                stream.head_only = error.head_only
                error = error.error
            self.streams.refuse(stream, error)
        else:
            if end:
                self.streams.whole(stream)
            elif head.expects_continue:
                self.outbox.interim(stream, CONTINUE)

    def _trailers(self, stream: Stream, end: bool) -> None:
        try:
            if stream.whole:
                self._blocks.skip()
                raise StreamFault(Code.STREAM_CLOSED)
            self._blocks.trailers()
            if not end:
                raise StreamFault(Code.PROTOCOL_ERROR)
            stream.receive(b"", end=True)
        except StreamFault as fault:
            self.streams.punish(stream, fault.code)
        else:
            self._took_in(stream, 0)

    def _data(self, frame: Frame) -> None:
        size, end = len(frame.payload), bool(frame.flags & h2.END_STREAM)
        data = h2.unpadded(frame)
        if len(data) < _NEXT_TO_NOTHING and not end:
            self._floods.chatter()
        stream = self._stream_of(frame)
        if stream is None:
            self.streams.too_late(frame.stream_id, "DATA")
        else:
            try:
                stream.arrive(size)
                stream.receive(data, end=end)
            except StreamFault as fault:
                self.streams.punish(stream, fault.code)
            except RequestError as error:
                self.streams.refuse(stream, error)
            else:
                self._took_in(stream, size)
        self._grant(size)

    def _took_in(self, stream: Stream, size: int) -> None:
        if stream.refused:
            return
        if stream.whole:
            self.streams.whole(stream)
        elif granted := stream.grant(size):
            self.outbox.add(h2.window_update(stream.id, granted))

    def _grant(self, size: int) -> None:
        """Let the client send as much again on the connection: what came was taken in, or thrown away.

        So its window never closes. What a client may send is bounded by stream, and by what there is room for.
        """
        self._owed += size
        if self._owed >= CONNECTION_WINDOW // 2:
            self.outbox.add(h2.window_update(0, self._owed))
            self._owed = 0

    def _rst_stream(self, frame: Frame) -> None:
        h2.check_size(frame, 4, on_stream=True)
        self._floods.reset()
        stream = self._stream_of(frame)
        if stream is not None:
            self.streams.cancel(stream)

    def _stream_of(self, frame: Frame) -> Stream | None:
        """The stream of ``frame``, ``None`` if it has ended."""
        stream = self.streams.open.get(frame.stream_id)
        if stream is None and (frame.stream_id % 2 == 0 or frame.stream_id > self.streams.last_id):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a frame on a stream that nobody has opened")
        return stream

    # -- the connection ------------------------------------------------------------------------------------------------

    def _settings(self, frame: Frame) -> None:
        if frame.flags & h2.ACK:
            h2.check_size(frame, 0, on_stream=False)
            self._floods.chatter()
            return
        h2.check_size(frame, len(frame.payload), on_stream=False)
        pairs = h2.settings_of(frame.payload)
        self._floods.chatter(1 + len(pairs))
        window = self.streams.window
        for name, value in pairs:
            if name == Setting.INITIAL_WINDOW_SIZE:
                window = value
            elif name == Setting.HEADER_TABLE_SIZE:
                self.outbox.unsettle_table()
        self.streams.move_windows(window)
        self.outbox.add(h2.SETTINGS_ACK)

    def _window_update(self, frame: Frame) -> None:
        h2.check_size(frame, 4)
        self._floods.chatter()
        increment = int.from_bytes(frame.payload, "big") & h2.MAX_WINDOW
        if not frame.stream_id:
            self.outbox.window += increment
            if not increment:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "a window was updated by nothing")
            if self.outbox.window > h2.MAX_WINDOW:
                raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "the window of the connection overflows")
            return
        stream = self._stream_of(frame)
        if stream is None:
            return
        stream.window += increment
        if not increment:
            self.streams.punish(stream, Code.PROTOCOL_ERROR)
        elif stream.window > h2.MAX_WINDOW:
            self.streams.punish(stream, Code.FLOW_CONTROL_ERROR)

    def _note(self, frame: Frame) -> None:
        """Frames that change no stream and no setting; unknown ones are extensions to ignore (section 5.5)."""
        kind = frame.kind
        if kind == h2.PING:
            h2.check_size(frame, 8, on_stream=False)
            if not frame.flags & h2.ACK:
                self.outbox.add(h2.ping_ack(frame.payload))
        elif kind == h2.GOAWAY:
            h2.check_size(frame, max(8, len(frame.payload)), on_stream=False)
            self.client_leaves = True
        elif kind == h2.PRIORITY:
            h2.check_size(frame, 5, on_stream=True)
        elif kind == h2.PUSH_PROMISE:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a client cannot push")
