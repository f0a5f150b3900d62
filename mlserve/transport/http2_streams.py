"""Which streams one HTTP/2 connection has, which it had, and what becomes of each. No I/O, no frames of the client."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from mlserve.errors import RequestError
from mlserve.transport.http2_floods import Floods
from mlserve.transport.http2_frames import DEFAULT_WINDOW, MAX_WINDOW, Code, ConnectionFault, rst_stream
from mlserve.transport.http2_outbox import Outbox
from mlserve.transport.http2_stream import Stream
from mlserve.transport.http2_wire import encode
from mlserve.transport.inflight import InFlightBytes
from mlserve.transport.limits import Http1Limits
from mlserve.transport.status import error_response

MAX_STREAMS: Final = 256
"""Requests at once on one connection (SETTINGS_MAX_CONCURRENT_STREAMS)."""
_UNSENT_BYTES: Final = 64 * 1024
"""A client that has so much still to take of its answers gets no further request handled."""
_REMEMBERED: Final = 2 * MAX_STREAMS
"""Streams whose end is remembered, to tell frames that crossed with it from those that break the rules."""


class Ended(Enum):
    """How a stream ended: what comes for it after that is a mistake, an offence, or was on its way already."""

    ANSWERED = auto()
    RESET_BY_CLIENT = auto()
    RESET_BY_US = auto()


class Streams:
    """``start`` gets each stream whose request is whole, ``stop`` those whose handler has to end without an answer.

    ``open`` are those that have not ended, ``receiving`` those of them whose requests are not whole, oldest first.
    ``stopping`` counts handlers that were stopped and need a while. ``window`` is what the client takes of each answer
    before it is asked.
    """

    def __init__(
        self,
        limits: Http1Limits,
        in_flight: InFlightBytes,
        floods: Floods,
        start: Callable[[Stream], None],
        stop: Callable[[Stream], None],
        clock: Callable[[], float],
    ) -> None:
        self._limits = limits
        self._in_flight = in_flight
        self._floods = floods
        self._start = start
        self._stop = stop
        self._clock = clock
        self._ready: deque[Stream] = deque()
        self._ended: dict[int, Ended] = {}
        self._last_served = MAX_WINDOW
        self.outbox = Outbox(in_flight, self._finished)
        self.open: dict[int, Stream] = {}
        self.receiving: dict[int, Stream] = {}
        self.window = DEFAULT_WINDOW
        self.last_id = 0
        self.stopping = 0

    def begin(self, stream_id: int, received: float) -> Stream | None:
        """A new stream; ``None`` if there is no place for it, which the client is told: it may try again."""
        self.last_id = stream_id
        if stream_id > self._last_served or len(self.open) + self.stopping >= MAX_STREAMS:
            self._remember(stream_id, Ended.RESET_BY_US)
            self.outbox.add(rst_stream(stream_id, Code.REFUSED_STREAM))
            self._floods.reset()
            return None
        stream = Stream(stream_id, self.window, received, self._limits, self._in_flight)
        self.open[stream_id] = self.receiving[stream_id] = stream
        return stream

    def whole(self, stream: Stream) -> None:
        """The request has come: it is handled as soon as its turn is."""
        del self.receiving[stream.id]
        self._ready.append(stream)

    def start_ready(self) -> None:
        """Hand over requests that are whole, as long as the client takes what it asked for before."""
        while self._ready and self.outbox.unsent <= _UNSENT_BYTES:
            stream = self._ready.popleft()
            if self.open.get(stream.id) is stream:
                self._start(stream)

    def answer(self, stream: Stream, block: bytes, body: bytes) -> None:
        """The handler's answer, unless the client has left the stream."""
        if self.open.get(stream.id) is stream and stream.answer is None:
            stream.release()
            self.outbox.answer(stream, block, body)

    def refuse(self, stream: Stream, error: RequestError) -> None:
        """Answer ``error`` now, whatever is still to come of the request."""
        stream.refused = True
        self.receiving.pop(stream.id, None)
        response = error_response(error, self._clock() - stream.received)
        self.answer(stream, *encode(response, head_only=stream.head_only))

    def reset(self, stream: Stream, code: Code) -> None:
        """End ``stream`` without an answer, or in the middle of it."""
        self._forget(stream, Ended.RESET_BY_US)
        self.outbox.add(rst_stream(stream.id, code))

    def punish(self, stream: Stream, code: Code) -> None:
        """``reset`` it, for what the client did: it may not do so for ever."""
        self.reset(stream, code)
        self._floods.reset()

    def cancel(self, stream: Stream) -> None:
        """The client has reset it."""
        self._forget(stream, Ended.RESET_BY_CLIENT)

    def too_late(self, stream_id: int, what: str) -> None:
        """DATA or HEADERS came for a stream that has ended (RFC 9113, section 5.1, closed)."""
        ended = self._ended.get(stream_id)
        if ended is Ended.RESET_BY_CLIENT:
            self.outbox.add(rst_stream(stream_id, Code.STREAM_CLOSED))
            self._floods.reset()
        elif ended is Ended.ANSWERED:
            raise ConnectionFault(Code.STREAM_CLOSED, f"{what} on a stream that has ended")
        elif ended is None:
            raise ConnectionFault(Code.PROTOCOL_ERROR, f"{what} on a stream that was passed over")

    def move_windows(self, window: int) -> None:
        """The client takes ``window`` bytes of each answer from now on, and of those under way as much more or less."""
        change, self.window = window - self.window, window
        if change:
            for stream in self.open.values():
                stream.window += change
                if stream.window > MAX_WINDOW:
                    raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE overflows a window")

    def serve_no_more(self) -> None:
        """Refuse every stream that begins from now on."""
        self._last_served = self.last_id

    def clear(self) -> None:
        """The connection is gone: stop what runs, and give back what is held."""
        for stream in list(self.open.values()):
            self._forget(stream, Ended.RESET_BY_US)

    def _finished(self, stream: Stream, size: int) -> None:
        """The answer was sent whole."""
        self._forget(stream, Ended.ANSWERED if stream.whole else Ended.RESET_BY_US)
        self._floods.answered(size)

    def _forget(self, stream: Stream, how: Ended) -> None:
        del self.open[stream.id]
        self.receiving.pop(stream.id, None)
        self._remember(stream.id, how)
        self.outbox.drop(stream)
        stream.release()
        if stream.task is not None:
            self._stop(stream)

    def _remember(self, stream_id: int, how: Ended) -> None:
        self._ended[stream_id] = how
        if len(self._ended) > _REMEMBERED:
            del self._ended[next(iter(self._ended))]
