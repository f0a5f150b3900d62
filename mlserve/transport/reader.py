"""From the bytes of one connection to whole requests, one at a time, within limits.

No I/O and no clock: :class:`Connection` feeds what arrives and acts on what comes back. aiohttp's parser cuts the
bytes; it stops after each message, so that a client which pipelines costs no more than one request at a time.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from aiohttp.http import HttpRequestParser
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from mlserve.transport.head import Head, body_too_large, head_bytes, header_too_large, parse_error, read_head
from mlserve.transport.inflight import InFlightBytes
from mlserve.transport.limits import Http1Limits

_CHUNKED_OVERHEAD: Final = 8
"""A chunked body may cost this many times its limit on the wire: one-byte chunks take six bytes each."""
_ONE_READ: Final = 2**20
"""More than a loop hands over at once."""
_END: Final = b"\r\n\r\n"


class _NoFlowControl:
    """Stands where the parser's stream expects a protocol: bodies are taken out of it at once, nothing ever fills."""

    connected = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self, resume_parser: bool = True) -> None:
        pass


_NO_FLOW_CONTROL: Final = cast("Any", _NoFlowControl())


class RequestReader:
    """Cuts one connection's bytes into requests.

    Call ``feed`` until it returns a body: then ``head`` and that body are a request. When it is answered call ``next``,
    and if it ``may_hold_more`` feed ``b""``: an earlier piece may have brought the next request already. After it has
    raised it is of no more use, because nobody can say where the next request begins. The bytes of a body count as in
    flight from when they come until ``next``, or ``release`` where none follows.
    """

    def __init__(self, limits: Http1Limits, in_flight: InFlightBytes, loop: asyncio.AbstractEventLoop) -> None:
        self._limits = limits
        self._in_flight = in_flight
        self._parser = HttpRequestParser(
            _NO_FLOW_CONTROL,
            loop,
            _ONE_READ,
            max_line_size=limits.max_header_bytes,
            max_field_size=limits.max_header_bytes,
            max_headers=limits.max_header_bytes,
            auto_decompress=False,
            max_msg_queue_size=1,
        )
        self._last = b""
        self._seems_to_hold_more = False
        self.may_hold_more = False
        """After a whole request: False if nothing came behind it for sure."""
        self.head: Head | None = None
        self._payload: StreamReader | None = None
        self._body: bytes | bytearray = b""
        self._body_bytes = 0
        self._wire_bytes = 0
        self._head_bytes: int | None = None

    @property
    def empty(self) -> bool:
        """True if no byte of an unfinished request has come."""
        return self._wire_bytes == 0 and not self._seems_to_hold_more

    def feed(self, data: bytes) -> bytes | None:
        """Take ``data`` in; the body of the request that it completes, ``None`` if there is more to come.

        Raises :class:`~mlserve.errors.RequestError` at the first byte that makes the request one to refuse.
        """
        limits = self._limits
        if data:
            if not self._wire_bytes:
                self._head_bytes = None if self.may_hold_more else data.find(_END) + len(_END)
            self._wire_bytes += len(data)
        try:
            messages, _, _ = self._parser.feed_data(data)
        except Exception as error:
            raise parse_error(error, limits.max_header_bytes) from error
        for message, payload in messages:
            # Counting fields is for requests that may be over: what a pipelined piece held was never counted.
            counted = 0 < self._wire_bytes <= limits.max_header_bytes and not self._seems_to_hold_more
            if not counted and head_bytes(message) > limits.max_header_bytes:
                raise header_too_large(limits.max_header_bytes)
            self.head = head = read_head(message, limits.max_body_bytes)
            self._payload = payload
            if head.length:
                self._in_flight.check(head.length)
        if self._payload is None:
            if data:
                self._last = data[-len(_END) :]
            if self._wire_bytes > limits.max_header_bytes:
                raise header_too_large(limits.max_header_bytes)
            return None
        whole = self._take_body(self._payload)
        if whole and self._head_bytes is not None and self._wire_bytes == self._head_bytes + self._body_bytes:
            self.may_hold_more = self._seems_to_hold_more = False
            return bytes(self._body)
        if data:
            self._last = data[-len(_END) :]
        if not whole:
            return None
        self.may_hold_more = True
        self._seems_to_hold_more = self._ends_elsewhere()
        return bytes(self._body)

    def _take_body(self, payload: StreamReader) -> bool:
        """Take in what the parser has of the body; True if that was the end of it."""
        if payload is EMPTY_PAYLOAD:
            return True
        limits = self._limits
        piece = payload.read_nowait()
        most = limits.max_header_bytes + _CHUNKED_OVERHEAD * limits.max_body_bytes + _ONE_READ
        if self._body_bytes + len(piece) > limits.max_body_bytes or self._wire_bytes > most:
            raise body_too_large(limits.max_body_bytes)
        if piece:
            self._in_flight.check(len(piece), self._body_bytes)
            self._in_flight.held += len(piece)
            self._body_bytes += len(piece)
            if not self._body:
                self._body = piece
            else:
                # One buffer, for a list of tiny pieces would weigh many times what they hold.
                if isinstance(self._body, bytes):
                    self._body = bytearray(self._body)
                self._body += piece
        return payload.is_eof()

    def _ends_elsewhere(self) -> bool:
        """Whether the bytes that came last are others than the end of this request.

        The parser does not tell what it holds. A wrong "no", when both happen to end alike, only means that the
        connection counts as idle for a while.
        """
        chunked = self.head is not None and "Transfer-Encoding" in self.head.headers
        end = _END if chunked or not self._body else bytes(self._body[-len(_END) :])
        return self._last[-len(end) :] != end[-len(self._last) :]

    def hold(self, size: int) -> None:
        """A request that another reader cut has a body of ``size`` bytes: in flight until ``next``, as one of ours."""
        self._in_flight.held += size
        self._body_bytes = size

    def next(self) -> None:
        """Forget the request that is whole and make ready for another."""
        self.release()
        if self.head is not None:
            self.head = None
            self._payload = None
            self._wire_bytes = 0
            self._parser.message_consumed()

    def release(self) -> None:
        """Forget the body, whole or not."""
        if self._body_bytes:
            self._in_flight.held -= self._body_bytes
            self._body_bytes = 0
            self._body = b""
