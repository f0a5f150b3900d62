r"""One HTTP/2 connection: bytes to the session, handlers as tasks, what the session has to say to the transport.

What happens when::

    IDLE --a stream--> BUSY --an answer does not go out--> WRITING --it went out--> BUSY --no stream--> IDLE
      \                  \                                    \
       \ idle deadline    +-- a fault, the end of a stop ------+--> LINGERING --> CLOSED
        +-------------------------------------------------------------------------^

The event loop calls the methods of :class:`asyncio.Protocol`; ``Http1Server`` calls ``drain``, ``expel``, ``abort``.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from enum import Enum, auto
from time import monotonic
from typing import Final, cast

from mlserve.errors import NotReady, SlowSender
from mlserve.transport.connection import DRAIN_GRACE_S, LINGER_BYTES, LINGER_S, PROGRESS_BYTES, REFUSED_AT_ONCE
from mlserve.transport.deadline import Deadline
from mlserve.transport.handling import handled
from mlserve.transport.head import Head
from mlserve.transport.http2_frames import MAX_WINDOW, Code, ConnectionFault, goaway
from mlserve.transport.http2_session import Session
from mlserve.transport.http2_stream import Stream
from mlserve.transport.http2_wire import encode
from mlserve.transport.message import HttpRequest
from mlserve.transport.port import Port

log = logging.getLogger(__name__)

_WRITE_BYTES: Final = 64 * 1024
"""What is given to the transport at once: it holds no more than this that the client has not taken."""


class Phase(Enum):
    """Where a connection stands."""

    IDLE = auto()
    BUSY = auto()
    WRITING = auto()
    LINGERING = auto()
    CLOSED = auto()


class Http2Connection(asyncio.Protocol):
    """One client's connection, from ``connection_made`` to ``connection_lost``."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._limits = port.limits
        self._loop = port.loop
        self._session = Session(port.limits, port.in_flight, self._start, self._stop)
        self._streams = self._session.streams
        self._outbox = self._session.outbox
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)  # connection_made comes before all else
        self._peer = ""
        self._phase = Phase.BUSY
        self._flushing = False
        self._writing_paused = False
        self._unsent = 0
        self._taken = 0
        self._parting = False
        self._discarded = 0
        self._unfinished: tuple[int, float] | None = None
        self._awaits_rest = False
        self._deadline = Deadline(port.loop, self._deadline_passed)
        self._read_deadline = Deadline(port.loop, self._read_deadline_passed)
        self._grace = Deadline(port.loop, self._part)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # What the transport holds cannot be put in another order any more, nor taken back.
        self._transport.set_write_buffer_limits(high=1, low=0)
        peername = transport.get_extra_info("peername")
        self._peer = str(peername[0]) if isinstance(peername, tuple) else ""
        port = self._port
        port.connections.add(self)
        port.empty.clear()
        over = len(port.connections) - port.max_connections
        if over > REFUSED_AT_ONCE:
            self.abort()
            return
        self._session.greet()
        self._flush()
        if over > 0:
            self._session.admits = False
            self._deadline.set(LINGER_S)
        if port.draining:
            self.drain()

    def data_received(self, data: bytes) -> None:
        if self._phase is Phase.LINGERING:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES:
                self._transport.pause_reading()
        elif self._phase is not Phase.CLOSED:
            try:
                self._session.receive(data)
            except ConnectionFault as fault:
                self._fail(fault)
            else:
                self._streams.start_ready()
                self._watch_reading()
                self._flush_soon()

    def eof_received(self) -> None:
        """The client sends no more: for all we can tell it has left. The transport closes when this returns."""
        if self._phase is not Phase.LINGERING:
            self._streams.clear()
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase = Phase.CLOSED
        for deadline in (self._deadline, self._read_deadline, self._grace):
            deadline.close()
        self._streams.clear()
        self._hold_unsent(0)
        self._port.leave(self)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._hold_unsent(0)
        self._flush_soon()

    def drain(self) -> None:
        """Say that the connection will end (RFC 9113, section 6.8), answer what was on its way, then refuse."""
        if self._phase not in (Phase.LINGERING, Phase.CLOSED):
            self._outbox.add(goaway(MAX_WINDOW, Code.NO_ERROR))
            self._flush_soon()
            self._grace.set(min(DRAIN_GRACE_S, self._limits.idle_timeout_s))

    def expel(self) -> None:
        """Time is up: requests being handled get 503, others may be tried elsewhere, unread answers are cut."""
        if self._phase in (Phase.LINGERING, Phase.CLOSED):
            return
        streams = self._streams
        streams.serve_no_more()
        for stream in list(streams.open.values()):
            if stream.task is not None:
                streams.refuse(stream, NotReady("the server is stopping and could not finish this request in time"))
                self._stop(stream)
            elif stream.answer is None:
                streams.reset(stream, Code.REFUSED_STREAM)
        self._write()
        self._end(Code.NO_ERROR)

    def abort(self) -> None:
        """Cut the connection at once, whatever is unsent."""
        self._phase = Phase.CLOSED
        self._transport.abort()

    # -- requests ------------------------------------------------------------------------------------------------------

    def _start(self, stream: Stream) -> None:
        head = cast("Head", stream.head)  # a request that is whole has one
        request = HttpRequest(
            head.method, head.path, head.query, head.headers, stream.body, self._peer, stream.received
        )
        stream.task = task = self._loop.create_task(self._serve(stream, request))
        self._port.tasks.add(task)

    async def _serve(self, stream: Stream, request: HttpRequest) -> None:
        task = cast("asyncio.Task[None]", stream.task)
        try:
            block, body = await handled(
                self._port.handler,
                request,
                lambda response: encode(response, head_only=stream.head_only),
                lambda: stream.task is task,
            )
        finally:
            stream.task = None
            self._port.tasks.discard(task)
        self._streams.answer(stream, block, body)
        self._flush_soon()

    def _stop(self, stream: Stream) -> None:
        task = stream.task
        if task is not None:
            stream.task = None
            self._streams.stopping += 1
            task.add_done_callback(self._stopped)
            task.cancel()

    def _stopped(self, task: asyncio.Task[None]) -> None:
        self._streams.stopping -= 1
        # Cancelled before its first step it never got to its end, where it takes itself out.
        self._port.tasks.discard(task)

    # -- writing -------------------------------------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        """Write once for all that this step of the loop has to say."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._phase in (Phase.LINGERING, Phase.CLOSED):
            return
        self._write()
        for stream in self._outbox.settle():
            self._streams.reset(stream, Code.ENHANCE_YOUR_CALM)
            self._flush_soon()
        self._streams.start_ready()
        self._watch()

    def _write(self) -> None:
        while not self._writing_paused and (pieces := self._outbox.take(_WRITE_BYTES)):
            self._transport.write(b"".join(pieces))

    def _watch(self) -> None:
        """Put the connection in the phase that what it holds calls for, and set the deadline of that phase."""
        session = self._session
        if self._writing_paused or self._outbox.pending:
            if self._phase is not Phase.WRITING:
                self._phase = Phase.WRITING
                self._await_progress()
        elif self._streams.open:
            if self._phase is not Phase.BUSY:
                self._phase = Phase.BUSY
                self._deadline.clear()
        elif self._parting or session.client_leaves:
            self._linger()
        elif not session.admits:
            if self._streams.last_id:
                self._end(Code.NO_ERROR)
        elif self._phase is not Phase.IDLE:
            self._phase = Phase.IDLE
            self._deadline.set(self._limits.idle_timeout_s)

    def _deadline_passed(self) -> None:
        if self._phase is Phase.LINGERING or self._phase is Phase.CLOSED:
            self.abort()
        elif self._phase is Phase.WRITING:
            self._look_at_progress()
        elif not self._streams.open:
            self._end(Code.NO_ERROR)

    def _look_at_progress(self) -> None:
        held_up = self._writing_paused or self._outbox.window <= 0
        if held_up and self._outbox.taken - self._transport.get_write_buffer_size() < self._taken + PROGRESS_BYTES:
            self.abort()
            return
        for stream in self._outbox.stalled():
            self._streams.reset(stream, Code.CANCEL)
        self._await_progress()
        self._flush_soon()

    def _await_progress(self) -> None:
        size = self._transport.get_write_buffer_size()
        self._hold_unsent(size)
        self._taken = self._outbox.taken - size
        self._deadline.set(self._limits.write_timeout_s)

    def _hold_unsent(self, size: int) -> None:
        """Count ``size`` bytes as waiting in the transport for the client, in place of what was counted before."""
        self._port.in_flight.held += size - self._unsent
        self._unsent = size

    # -- reading -------------------------------------------------------------------------------------------------------

    def _watch_reading(self) -> None:
        """See to it that what has begun to arrive is looked at when its time is up."""
        session = self._session
        if not session.unfinished:
            self._unfinished = None
        elif self._unfinished is None or self._unfinished[0] != session.progress:
            self._unfinished = session.progress, session.received
        if not self._awaits_rest and (self._streams.receiving or self._unfinished is not None):
            self._awaits_rest = True
            self._read_deadline.set(self._limits.read_timeout_s)

    def _read_deadline_passed(self) -> None:
        timeout_s = self._limits.read_timeout_s
        late = monotonic() - timeout_s
        if self._unfinished is not None and self._unfinished[1] <= late:
            self._fail(ConnectionFault(Code.NO_ERROR, f"a frame or header block was not whole within {timeout_s:g} s"))
            return
        for stream in list(self._streams.receiving.values()):
            if stream.received <= late:
                self._streams.refuse(stream, SlowSender(f"the request was not whole within {timeout_s:g} s"))
        begun = [stream.received for stream in self._streams.receiving.values()]
        if self._unfinished is not None:
            begun.append(self._unfinished[1])
        self._awaits_rest = bool(begun)
        if begun:
            self._read_deadline.set(min(begun) - late)
        self._flush_soon()

    # -- the end -------------------------------------------------------------------------------------------------------

    def _part(self) -> None:
        """The time for what was on its way is over: name the last stream that is served, and refuse those after it."""
        self._parting = True
        self._streams.serve_no_more()
        self._outbox.add(goaway(self._streams.last_id, Code.NO_ERROR))
        self._flush_soon()

    def _fail(self, fault: ConnectionFault) -> None:
        if fault.code is Code.ENHANCE_YOUR_CALM:
            log.warning("an HTTP/2 connection of %s was closed: %s", self._peer, fault)
        self._end(fault.code, str(fault))

    def _end(self, code: Code, text: str = "") -> None:
        """Say why, end all streams, and give the client time to read it."""
        self._streams.clear()
        self._outbox.add(goaway(self._streams.last_id, code, text))
        self._transport.write(b"".join(self._outbox.take(_WRITE_BYTES)))
        self._linger()

    def _linger(self) -> None:
        """All is said: wait for the client to close, for what it still sends would reset a closed connection."""
        self._phase = Phase.LINGERING
        if self._transport.can_write_eof():
            with suppress(OSError):  # the client is gone already
                self._transport.write_eof()
        self._deadline.set(LINGER_S)

    def _close(self) -> None:
        """Close once all is sent; a client that does not read it is cut."""
        self._phase = Phase.CLOSED
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._deadline.set(self._limits.write_timeout_s)
