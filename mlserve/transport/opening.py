"""The first bytes of a connection: which protocol its client speaks.

Under TLS, ALPN has settled it. In clear text a client of HTTP/2 begins with 24 bytes that no request of HTTP/1.1
begins with (*prior knowledge*, RFC 9113, section 3.3); whatever differs from them, at its first byte, is HTTP/1.1.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final, cast

from mlserve.transport.connection import Connection
from mlserve.transport.http2_connection import Http2Connection
from mlserve.transport.http2_frames import PREFACE

ALPN: Final = ("h2", "http/1.1")
"""What a TLS context of this port offers, the preferred first."""


class Opening(asyncio.Protocol):
    """Stands before ``connection`` until it is known whether that is the one to serve; see ``Http1Server``."""

    def __init__(self, connection: Connection, http1: asyncio.Protocol | None = None) -> None:
        """``http1`` stands before the connection once it is known to be one of HTTP/1.1."""
        self._connection = connection
        self._http1 = http1 or connection
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)  # connection_made comes before all else
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._http1.connection_made(transport)
        secured: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        chosen = secured.selected_alpn_protocol() if secured is not None else None
        if transport.is_closing():
            return
        if chosen == "h2":
            self._speak_http2()
        elif chosen is not None:
            self._transport.set_protocol(self._http1)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if self._seen.startswith(PREFACE):
            self._speak_http2().data_received(self._seen)
        elif PREFACE.startswith(self._seen):
            self._connection.await_rest()
        else:
            self._transport.set_protocol(self._http1)
            self._http1.data_received(self._seen)

    def eof_received(self) -> None:
        self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def _speak_http2(self) -> Http2Connection:
        connection = Http2Connection(self._connection.hand_over())
        self._transport.set_protocol(connection)
        connection.connection_made(self._transport)
        return connection
