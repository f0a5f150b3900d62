"""From the bytes of one connection to whole requests, one at a time, within limits.

No I/O and no clock: :class:`Connection` feeds what arrives and acts on what comes back. aiohttp's parser cuts the
bytes; it stops after each message, so that a client which pipelines costs no more than one request at a time.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

from aiohttp.http import HttpRequestParser
from aiohttp.streams import StreamReader

from mlserve.transport.head import Head, body_too_large, head_bytes, header_too_large, parse_error, read_head
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

    Call ``feed`` until it returns a body: then ``head`` and that body are a request. Call ``next`` before feeding
    again, and feed ``b""`` then: the rest of an earlier piece may hold the next request already. After it has raised
    it is of no more use, because nobody can say where the next request begins.
    """

    def __init__(self, limits: Http1Limits, loop: asyncio.AbstractEventLoop) -> None:
        self._limits = limits
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
        self._holds_more = False
        self.head: Head | None = None
        self._payload: StreamReader | None = None
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._wire_bytes = 0

    @property
    def empty(self) -> bool:
        """True if no byte of an unfinished request has come."""
        return self._wire_bytes == 0 and not self._holds_more

    def feed(self, data: bytes) -> bytes | None:
        """Take ``data`` in; the body of the request that it completes, ``None`` if there is more to come.

        Raises :class:`~mlserve.errors.RequestError` at the first byte that makes the request one to refuse.
        """
        limits = self._limits
        if data:
            self._last = data[-len(_END) :]
            self._wire_bytes += len(data)
        try:
            messages, _, _ = self._parser.feed_data(data)
        except Exception as error:
            raise parse_error(error, limits.max_header_bytes) from error
        for message, payload in messages:
            # Counting fields is for requests that may be over: what a pipelined piece held was never counted.
            counted = 0 < self._wire_bytes <= limits.max_header_bytes and not self._holds_more
            if not counted and head_bytes(message) > limits.max_header_bytes:
                raise header_too_large(limits.max_header_bytes)
            self.head = read_head(message, limits.max_body_bytes)
            self._payload = payload
        if self._payload is not None:
            return self._take_body(self._payload)
        if self._wire_bytes > limits.max_header_bytes:
            raise header_too_large(limits.max_header_bytes)
        return None

    def _take_body(self, payload: StreamReader) -> bytes | None:
        piece = payload.read_nowait()
        if piece:
            self._body.append(piece)
            self._body_bytes += len(piece)
        limits = self._limits
        most = limits.max_header_bytes + _CHUNKED_OVERHEAD * limits.max_body_bytes + _ONE_READ
        if self._body_bytes > limits.max_body_bytes or self._wire_bytes > most:
            raise body_too_large(limits.max_body_bytes)
        if not payload.is_eof():
            return None
        body = b"".join(self._body)
        self._holds_more = self._ends_elsewhere(body)
        return body

    def _ends_elsewhere(self, body: bytes) -> bool:
        """Whether the bytes that came last are others than the end of this request.

        The parser does not tell what it holds. A wrong "no", when both happen to end alike, only means that the
        connection counts as idle for a while.
        """
        chunked = self.head is not None and "Transfer-Encoding" in self.head.headers
        end = body[-len(_END) :] if body and not chunked else _END
        return self._last[-len(end) :] != end[-len(self._last) :]

    def next(self) -> None:
        """Forget the request that is whole and make ready for another."""
        self.head = None
        self._payload = None
        self._body.clear()
        self._body_bytes = 0
        self._wire_bytes = 0
        self._parser.message_consumed()
