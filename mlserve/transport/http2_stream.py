"""One request on an HTTP/2 connection: its body as it comes, within limits, and its answer until it is sent."""

from __future__ import annotations

import asyncio
from typing import Final

from mlserve.transport.head import Head, body_too_large
from mlserve.transport.http2_frames import Code, StreamFault
from mlserve.transport.inflight import InFlightBytes
from mlserve.transport.limits import Http1Limits

WINDOW: Final = 256 * 1024
"""What a client may send of one body before we take it in (SETTINGS_INITIAL_WINDOW_SIZE)."""


class Answer:
    """What is still to be sent: the header block, then the body from ``at``.

    ``held`` of it count as in flight; ``mark`` is what was left when progress was looked at last.
    """

    __slots__ = ("at", "block", "body", "held", "mark")

    def __init__(self, block: bytes, body: bytes) -> None:
        self.block: bytes | None = block
        self.body = body
        self.at = 0
        self.held = 0
        self.mark: int | None = None

    @property
    def left(self) -> int:
        """Bytes of the body that are not sent."""
        return len(self.body) - self.at


class Stream:
    """One request, from its header block until its answer is sent or it is reset.

    ``window`` is what the client takes of the answer. ``whole`` is True when the client has sent all, ``refused`` when
    an answer stands before that and the rest is thrown away. The bytes of a body count as in flight from when they come
    until ``release``.
    """

    __slots__ = (
        "_body", "_in_flight", "_limits", "_owed", "_room",
        "answer", "body_bytes", "head", "head_only", "id", "length", "received", "refused", "task", "whole", "window",
    )  # fmt: skip

    def __init__(
        self, stream_id: int, window: int, received: float, limits: Http1Limits, in_flight: InFlightBytes
    ) -> None:
        self.id = stream_id
        self.window = window
        self.received = received
        self.head: Head | None = None
        self.head_only = False
        self.length: int | None = None
        self.whole = False
        self.refused = False
        self.task: asyncio.Task[None] | None = None
        self.answer: Answer | None = None
        self.body_bytes = 0
        self._limits = limits
        self._in_flight = in_flight
        self._body: bytes | bytearray = b""
        self._room = WINDOW
        self._owed = 0

    @property
    def body(self) -> bytes:
        return bytes(self._body)

    def begin(self, head: Head, *, end: bool) -> None:
        """The header block was ``head``. Raises as ``receive`` does, before any byte of an announced body has come."""
        self.head = head
        if "content-length" in head.headers:
            self.length = head.length
        if end:
            self.receive(b"", end=True)
        elif head.length:
            self._in_flight.check(head.length)

    def arrive(self, size: int) -> None:
        """``size`` bytes of a DATA frame came, padding included: :class:`StreamFault` if they were not let."""
        self._room -= size
        if self._room < 0:
            raise StreamFault(Code.FLOW_CONTROL_ERROR)

    def receive(self, data: bytes, *, end: bool) -> None:
        """Take in a piece of the body, the last one with ``end``.

        Raises :class:`StreamFault` if it is not as long as announced (RFC 9113, section 8.1.1) or had ended before, and
        :class:`~mlserve.errors.RequestError` if it is too large or there is no room for it.
        """
        if self.whole:
            raise StreamFault(Code.STREAM_CLOSED)
        self.whole = end
        if self.refused:
            return
        size = self.body_bytes + len(data)
        if self.length is not None and (size > self.length or (end and size < self.length)):
            raise StreamFault(Code.PROTOCOL_ERROR)
        if size > self._limits.max_body_bytes:
            raise body_too_large(self._limits.max_body_bytes)
        if not data:
            return
        self._in_flight.check(len(data), self.body_bytes)
        self._in_flight.held += len(data)
        self.body_bytes = size
        if not self._body:
            self._body = data
        else:
            # One buffer, for a list of tiny pieces would weigh many times what they hold.
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += data

    def grant(self, size: int) -> int:
        """How much more the client may send, now that ``size`` bytes were taken in; 0 until it is worth a frame."""
        if self.whole or self.refused:
            return 0
        self._owed += size
        if self._owed < WINDOW // 2:
            return 0
        granted, self._owed = self._owed, 0
        self._room += granted
        return granted

    def release(self) -> None:
        """Forget the body, whole or not."""
        self._in_flight.held -= self.body_bytes
        self.body_bytes = 0
        self._body = b""
