"""What the connections of one port share, whatever protocol each of them speaks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from mlserve.transport.inflight import InFlightBytes
from mlserve.transport.limits import Http1Limits
from mlserve.transport.message import Handler


class Carrier(Protocol):
    """One connection as the server sees it when it stops."""

    def drain(self) -> None:
        """Finish what has begun and close (``Port.draining`` is set by then)."""

    def expel(self) -> None:
        """Time is up: requests still being handled are answered 503 and cancelled, anything else is cut."""

    def abort(self) -> None:
        """Cut the connection at once, whatever is unsent."""


@dataclass(slots=True)
class Port:
    """What the connections of one server share. ``empty`` is set while there are none.

    ``max_connections`` is that of ``limits``, or less where the operating system allows less.
    """

    handler: Handler
    limits: Http1Limits
    loop: asyncio.AbstractEventLoop
    max_connections: int
    in_flight: InFlightBytes
    connections: set[Carrier] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    """Of requests that are handled by one each."""
    promised: int = 0
    """Requests in progress that have no task."""
    empty: asyncio.Event = field(default_factory=asyncio.Event)
    draining: bool = False

    def leave(self, connection: Carrier) -> None:
        """``connection`` is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self.empty.set()
