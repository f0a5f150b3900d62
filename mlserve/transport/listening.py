"""Listening sockets from which connections are taken as fast as they come."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

ACCEPTORS: Final = 8
"""How often a loop that takes one connection at a time from a socket listens to it."""


async def listening(
    protocol: Callable[[], asyncio.Protocol], host: str, port: int, *, backlog: int, **options: Any
) -> list[asyncio.Server]:
    """Servers on every address of ``host``, all on one port. Raises :class:`OSError` if it cannot be had.

    uvloop takes one connection from a listening socket in each of its steps (libuv since 1.49, where it stopped asking
    until there was none). In a busy server a step is milliseconds long, and clients that come by the thousand would
    stand in line for seconds. So there it listens through several descriptors of the same sockets: each is asked once.
    """
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(protocol, host, port, backlog=backlog, reuse_address=True, **options),
    ]
    try:
        if _takes_one_at_a_time(loop):
            for listener in list(servers[0].sockets):
                for _ in range(ACCEPTORS - 1):
                    again = socket.fromfd(listener.fileno(), listener.family, listener.type)
                    try:
                        servers.append(await loop.create_server(protocol, sock=again, backlog=backlog, **options))
                    except BaseException:
                        again.close()  # no server owns it
                        raise
    except BaseException:
        for server in servers:
            server.close()
        raise
    return servers


def _takes_one_at_a_time(loop: asyncio.AbstractEventLoop) -> bool:
    return type(loop).__module__.partition(".")[0] == "uvloop"
