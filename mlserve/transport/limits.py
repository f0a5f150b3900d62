"""What one HTTP connection may cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Http1Limits:
    """Bounds of a port, over HTTP/1.1 and HTTP/2 alike; the daemon fills them in from ``Endpoint``.

    Sizes in bytes, times in seconds.

    ``read_timeout_s`` bounds reading one request, from its first byte to the last of its body. ``idle_timeout_s`` is
    how long a connection may send nothing between requests, or before the first. ``write_timeout_s`` is how long a
    client may take over each 64 KiB of an answer. A request on a connection over ``max_connections`` gets 503, and that
    connection is closed. ``max_in_flight_bytes`` bounds what bodies and answers hold over all connections: see
    :class:`~mlserve.transport.inflight.InFlightBytes`; a body over it gets 429.
    """

    max_header_bytes: int = 8192
    max_body_bytes: int = 4 * 1024 * 1024
    read_timeout_s: float = 5.0
    idle_timeout_s: float = 75.0
    write_timeout_s: float = 5.0
    max_connections: int = 10_000
    max_in_flight_bytes: int = 256 * 1024 * 1024
