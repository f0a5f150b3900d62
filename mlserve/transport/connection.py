r"""One HTTP/1.1 connection: requests in, one at a time to the handler, answers out in order, all within deadlines.

What happens when::

    IDLE --byte--> READING --whole request--> HANDLING --answer--> IDLE, or WRITING until the client has read it
      \              \ error, deadline                \ last answer
       \              +--> LINGERING --------------------+--> CLOSED
        +--idle deadline, drain--------------------------^

A connection over ``max_connections`` starts as REFUSED and lingers at its first byte.

aiohttp's ``web.Server`` is not used, only its parser: ``docs/decisions`` says why. The event loop calls the methods of
:class:`asyncio.Protocol`; ``Http1Server`` calls ``drain``, ``expel`` and ``abort``.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import Enum, auto
from time import monotonic
from typing import Final, cast

from mlserve.errors import BadRequest, NotReady, RequestError, SlowSender
from mlserve.transport.deadline import Deadline
from mlserve.transport.handling import handled
from mlserve.transport.head import Head
from mlserve.transport.message import Abandon, Begin, HttpRequest, HttpResponse
from mlserve.transport.port import Port
from mlserve.transport.reader import RequestReader
from mlserve.transport.status import error_response
from mlserve.transport.wire import CONTINUE, encode

TOO_MANY: Final = "the server holds as many connections as MaxConnections allows: try again"
LINGER_S: Final = 1.0
"""After an error: how long to wait for the client to read it. Closing over unread bytes would reset the connection."""
LINGER_BYTES: Final = 256 * 1024
"""After an error: how much of what the client still sends is taken in and thrown away."""
DRAIN_GRACE_S: Final = 0.2
"""While draining: how long an idle connection may still send the request that was on its way."""
REFUSED_AT_ONCE: Final = 128
"""Connections over the bound that are told so; those beyond are cut, or they would pile up themselves."""
_AHEAD_BYTES: Final = 64 * 1024
"""How far a client may pipeline ahead before we stop reading."""
PROGRESS_BYTES: Final = 64 * 1024
"""What a client must read of an answer in each ``write_timeout_s``."""


_PLAIN: Final = Head("POST", "", "", {}, 0, keep_alive=True, http10=False, expects_continue=False)
"""What of a head decides how a plain request is answered."""


def _nothing() -> None:
    pass


class State(Enum):
    """Where a connection stands."""

    REFUSED = auto()
    IDLE = auto()
    READING = auto()
    HANDLING = auto()
    WRITING = auto()
    LINGERING = auto()
    CLOSED = auto()


class Connection(asyncio.Protocol):
    """One client's connection, from ``connection_made`` to ``connection_lost``."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._limits = port.limits
        self._loop = port.loop
        self._reader = RequestReader(port.limits, port.in_flight, port.loop)
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)  # connection_made comes before all else
        self._peer = ""
        self._state = State.IDLE
        self._received = 0.0
        self._continued = False
        self._task: asyncio.Task[None] | None = None
        self._abandon: Abandon | None = None
        self._ahead: list[bytes] = []
        self._ahead_bytes = 0
        self._discarded = 0
        self._reading_paused = False
        self._writing_paused = False
        self._unsent = 0
        self._deadline = Deadline(port.loop, self._deadline_passed)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # A client that has not taken its last answer gets no other: what waits here is one answer for each.
        self._transport.set_write_buffer_limits(high=1, low=0)
        peername = transport.get_extra_info("peername")
        self._peer = str(peername[0]) if isinstance(peername, tuple) else ""
        port = self._port
        port.connections.add(self)
        port.empty.clear()
        over = len(port.connections) - port.max_connections
        if over <= 0:
            self._become_idle()
        elif over <= REFUSED_AT_ONCE:
            # Said once a request comes: clients take what comes before for the answer to another one.
            self._state = State.REFUSED
            self._deadline.set(LINGER_S)
        else:
            self.abort()

    def data_received(self, data: bytes) -> None:
        if self._state is State.IDLE or self._state is State.READING:
            self._feed(data)
        elif self._state is State.REFUSED:
            self._fail(NotReady(TOO_MANY))
        elif self._state is State.LINGERING:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES:
                self._pause_reading()
        elif self._state is not State.CLOSED:
            self._ahead.append(data)
            self._ahead_bytes += len(data)
            if self._ahead_bytes > _AHEAD_BYTES:
                self._pause_reading()

    def eof_received(self) -> None:
        """The client sends no more: for all we can tell it has left. The transport closes when this returns."""
        if self._state is State.READING:
            self._fail(BadRequest("the connection ended before the request was whole"))
        elif self._state is not State.LINGERING:
            self._cancel()
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = State.CLOSED
        self._deadline.close()
        self._cancel()
        self._reader.release()
        self._hold_unsent(0)
        self._port.leave(self)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._hold_unsent(0)
        if self._state is State.WRITING:
            self._next()

    @property
    def peer(self) -> str:
        """The address of the other end, without port."""
        return self._peer

    @property
    def free(self) -> bool:
        """Whether a protocol in front may answer: no byte of a request is unanswered, and this is not the end.

        Never while the port drains, for then an answer has to say that it is the last.
        """
        return self._state is State.IDLE and self._reader.empty and not self._port.draining

    def has_room(self, size: int) -> bool:
        """Whether no limit of the port would refuse a request of ``size`` bytes."""
        limits = self._limits
        return size <= limits.max_header_bytes and size <= limits.max_body_bytes and self._port.in_flight.has_room(size)

    def answer(self, response: bytes) -> None:
        """Send a protocol in front's answer to a request that has not come to us, where we were free for it."""
        self._transport.write(response)
        if self._writing_paused:
            self._state = State.WRITING
            self._await_progress()
        else:
            self._deadline.set(self._limits.idle_timeout_s)

    def handle(self, request: HttpRequest, begin: Begin) -> None:
        """Have a protocol in front's request answered, where we were free and had room for it; no header matters."""
        self._received = request.received
        self._reader.hold(len(request.body))
        self._state = State.HANDLING
        self._deadline.clear()
        self._port.promised += 1
        self._abandon = _nothing
        abandon = begin(request, self._reply)
        if abandon is None:
            self._kept()
            self._handle(_PLAIN, request)
        elif self._abandon is not None:
            self._abandon = abandon

    def await_rest(self) -> None:
        """A protocol in front holds the beginning of what may be its own: from now on the client has to hurry."""
        if self._state is State.IDLE:
            self._deadline.set(self._limits.read_timeout_s)

    def hand_over(self) -> Port:
        """Let a protocol in front have the connection, which is still untouched; it takes the place at the port."""
        self._state = State.CLOSED
        self._deadline.close()
        self._port.connections.discard(self)
        return self._port

    def drain(self) -> None:
        """Close soon if idle; otherwise the answer under way is the last (``Port.draining`` is set by then)."""
        if self._state is State.IDLE:
            self._become_idle()

    def expel(self) -> None:
        """Time is up: a request still being handled is answered 503 and cancelled, anything else is cut."""
        if self._state is State.HANDLING:
            self._fail(NotReady("the server is stopping and could not finish this request in time"))
            self._cancel()
        elif self._state is not State.LINGERING:
            self.abort()

    def abort(self) -> None:
        """Cut the connection at once, whatever is unsent."""
        self._state = State.CLOSED
        self._transport.abort()

    def _feed(self, data: bytes) -> None:
        """Read on with ``data``, and hand over the request that it completes."""
        if self._state is State.IDLE:
            self._received = monotonic()
        try:
            body = self._reader.feed(data)
        except RequestError as error:
            self._fail(error)
            return
        head = self._reader.head
        if body is not None and head is not None:
            self._handle(
                head, HttpRequest(head.method, head.path, head.query, head.headers, body, self._peer, self._received)
            )
            return
        if self._state is State.IDLE and not self._reader.empty:
            self._state = State.READING
            self._deadline.set(self._limits.read_timeout_s)
        if head is not None and head.expects_continue and not self._continued:
            self._continued = True
            self._transport.write(CONTINUE)

    def _reply(self, response: HttpResponse) -> None:
        """The answer to a request that was handled without a task."""
        self._kept()
        if self._state is State.HANDLING:
            self._answer(*self._encode(_PLAIN, response))

    def _kept(self) -> None:
        self._abandon = None
        self._port.promised -= 1

    def _handle(self, head: Head, request: HttpRequest) -> None:
        self._state = State.HANDLING
        self._deadline.clear()
        self._task = task = self._loop.create_task(self._serve(head, request))
        self._port.tasks.add(task)

    async def _serve(self, head: Head, request: HttpRequest) -> None:
        task = cast("asyncio.Task[None]", self._task)
        try:
            answer = await handled(
                self._port.handler,
                request,
                lambda response: self._encode(head, response),
                lambda: self._state is State.HANDLING,
            )
        finally:
            self._task = None
            self._port.tasks.discard(task)
        if self._state is State.HANDLING:
            self._answer(*answer)

    def _encode(self, head: Head, response: HttpResponse) -> tuple[bytes, bytes, bool]:
        last = self._port.draining or not head.keep_alive
        connection = "close" if last else "keep-alive" if head.http10 else ""
        return *encode(response, head_only=head.method == "HEAD", connection=connection), last

    def _answer(self, head: bytes, body: bytes, last: bool) -> None:
        self._reader.next()
        self._finish(head, body, last)

    def _finish(self, head: bytes, body: bytes, last: bool) -> None:
        self._send(head, body)
        if last:
            self._close()
        elif self._writing_paused:
            self._state = State.WRITING
            self._await_progress()
        else:
            self._next()

    def _next(self) -> None:
        """Back to waiting, or on to the request that the client sent ahead."""
        self._state = State.IDLE
        self._continued = False
        if self._ahead or self._reader.may_hold_more:
            ahead = b"".join(self._ahead)
            self._ahead.clear()
            self._ahead_bytes = 0
            if self._reading_paused:
                self._reading_paused = False
                self._transport.resume_reading()
            self._feed(ahead)
        if self._state is State.IDLE:
            self._become_idle()

    def _become_idle(self) -> None:
        idle_s = self._limits.idle_timeout_s
        self._deadline.set(min(DRAIN_GRACE_S, idle_s) if self._port.draining else idle_s)

    def _fail(self, error: RequestError) -> None:
        """Answer ``error`` and end the connection: nobody can say where the next request would begin."""
        self._send_error(error)
        self._state = State.LINGERING
        self._ahead.clear()
        self._reader.release()
        if self._transport.can_write_eof():
            with suppress(OSError):  # the client is gone already
                self._transport.write_eof()
        self._deadline.set(LINGER_S)

    def _send_error(self, error: RequestError) -> None:
        head = self._reader.head
        elapsed_s = monotonic() - self._received if self._received else 0.0
        response = error_response(error, elapsed_s)
        self._send(*encode(response, head_only=head is not None and head.method == "HEAD", connection="close"))

    def _send(self, head: bytes, body: bytes) -> None:
        if len(body) > PROGRESS_BYTES:
            self._transport.write(head)
            self._transport.write(body)
        else:
            self._transport.write(head + body)

    def _close(self) -> None:
        """Close once all is sent; a client that does not read it is cut."""
        self._state = State.CLOSED
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._await_progress()

    def _cancel(self) -> None:
        abandon = self._abandon
        if abandon is not None:
            self._kept()
            abandon()
        if self._task is not None:
            # Cancelled before its first step it never gets to its end, where it would take itself out.
            self._task.add_done_callback(self._port.tasks.discard)
            self._task.cancel()

    def _pause_reading(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def _deadline_passed(self) -> None:
        if self._state is State.IDLE or self._state is State.REFUSED:
            self._close()
        elif self._state is State.READING:
            self._fail(SlowSender(f"the request was not whole within {self._limits.read_timeout_s:g} s"))
        elif self._state is State.LINGERING or not self._has_progressed():
            self.abort()
        else:
            self._await_progress()

    def _await_progress(self) -> None:
        self._hold_unsent(self._transport.get_write_buffer_size())
        self._deadline.set(self._limits.write_timeout_s)

    def _has_progressed(self) -> bool:
        return self._transport.get_write_buffer_size() <= self._unsent - PROGRESS_BYTES

    def _hold_unsent(self, size: int) -> None:
        """Count ``size`` bytes of an answer as waiting for the client, in place of what was counted before."""
        if size != self._unsent:
            self._port.in_flight.held += size - self._unsent
            self._unsent = size
