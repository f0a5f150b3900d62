"""The port: listens, bounds its connections, drains them.

The daemon calls ``start`` once, ``stop_accepting`` when the stop begins, ``close`` at its end.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl as tls
from collections.abc import Callable
from typing import Any, Final

from mlserve.transport.connection import LINGER_S, Connection
from mlserve.transport.descriptors import connections_allowed
from mlserve.transport.inflight import InFlightBytes
from mlserve.transport.limits import Http1Limits
from mlserve.transport.listening import listening
from mlserve.transport.message import Handler
from mlserve.transport.port import Port

__all__ = ["Http1Limits", "Http1Server"]

log = logging.getLogger(__name__)

BACKLOG: Final = 2048
Front = Callable[[Connection], asyncio.Protocol]
"""Puts a protocol before a fresh HTTP/1.1 connection; it passes on the events it does not answer itself."""


def _nothing_in_front(connection: Connection) -> asyncio.Protocol:
    return connection


class Http1Server:
    """Serves ``handler`` on one address over HTTP/1.1.

    ``front`` is where another protocol on the same port takes hold: with :class:`~mlserve.transport.opening.Opening`,
    HTTP/2.
    """

    def __init__(self, handler: Handler, limits: Http1Limits, *, front: Front = _nothing_in_front) -> None:
        self._handler = handler
        self._limits = limits
        self._front = front
        self._in_flight = InFlightBytes(limits.max_in_flight_bytes)
        self._port: Port | None = None
        self._servers: list[asyncio.Server] = []
        self._address: tuple[str, int] = ("", 0)

    async def start(self, host: str, port: int, ssl: tls.SSLContext | None = None) -> None:
        """Listen; port 0 takes a free one. Raises :class:`OSError` if the address cannot be had."""
        loop = asyncio.get_running_loop()
        shared = Port(self._handler, self._limits, loop, _most_connections(self._limits), self._in_flight)
        shared.empty.set()
        bounds: dict[str, Any] = {}
        if ssl is not None:
            bounds = {
                "ssl_handshake_timeout": self._limits.read_timeout_s,
                "ssl_shutdown_timeout": self._limits.write_timeout_s,
            }
        self._servers = await listening(
            lambda: self._front(Connection(shared)), host, port, ssl=ssl, backlog=BACKLOG, **bounds
        )
        self._port = shared
        self._address = _address(self._servers[0].sockets[0])

    @property
    def address(self) -> tuple[str, int]:
        """Host and port listened on, the real port where 0 was asked for."""
        return self._address

    @property
    def in_flight(self) -> int:
        """Requests being handled now."""
        return len(self._port.tasks) + self._port.promised if self._port is not None else 0

    @property
    def in_flight_bytes(self) -> int:
        """What bodies and answers hold now, as ``max_in_flight_bytes`` counts them."""
        return self._in_flight.held

    @property
    def connections(self) -> int:
        """Connections open now."""
        return len(self._port.connections) if self._port is not None else 0

    async def stop_accepting(self) -> None:
        """Close the listening socket and let connections run out.

        Requests that have begun to arrive are answered, with ``Connection: close``; idle connections close after a
        fifth of a second, in which a request that was on its way is still answered.
        """
        if self._port is None or self._port.draining:
            return
        self._port.draining = True
        for server in self._servers:
            server.close()
        for connection in list(self._port.connections):
            connection.drain()

    async def close(self, timeout_s: float) -> None:
        """Wait up to ``timeout_s`` for connections to run out, then cancel what is left. Cancelled, it cuts all.

        Requests that did not finish in time are answered 503. Afterwards no connection is open.
        """
        if self._port is None:
            return
        await self.stop_accepting()
        port = self._port
        try:
            if not await _within(timeout_s, port.empty):
                for connection in list(port.connections):
                    connection.expel()
                await _within(LINGER_S, port.empty)
        finally:
            for connection in list(port.connections):
                connection.abort()
        if port.tasks:
            _, stuck = await asyncio.wait(set(port.tasks), timeout=LINGER_S)
            if stuck:
                log.warning("%d requests do not react to being cancelled and were left behind", len(stuck))
        await _within(LINGER_S, port.empty)


async def _within(seconds: float, event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _most_connections(limits: Http1Limits) -> int:
    most = connections_allowed(limits.max_connections)
    if most < limits.max_connections:
        log.warning(
            "the limit of open files allows %d connections, not the %d of MaxConnections: raise it (ulimit -n)",
            most,
            limits.max_connections,
        )
    return most


def _address(listening: socket.socket) -> tuple[str, int]:
    name = listening.getsockname()
    return str(name[0]), int(name[1])
