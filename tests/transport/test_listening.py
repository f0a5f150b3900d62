"""Clients that come together would stand in line, or a stopped server would go on listening, if these failed."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvloop

from mlserve.transport.listening import listening


class Counting(asyncio.Protocol):
    """Counts connections by the step of the loop in which they came."""

    def __init__(self, steps: list[int], step: list[int]) -> None:
        self._steps = steps
        self._step = step

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._steps.append(self._step[0])
        transport.close()


async def steps_for(connections: int) -> int:
    """In how many of the loop's steps so many waiting connections are taken."""
    taken: list[int] = []
    step = [0]
    servers = await listening(lambda: Counting(taken, step), "127.0.0.1", 0, backlog=256)
    address = servers[0].sockets[0].getsockname()
    clients = [socket.create_connection(address) for _ in range(connections)]
    async with asyncio.timeout(10):
        while len(taken) < connections:
            step[0] += 1
            await asyncio.sleep(0)
    for client in clients:
        client.close()
    for server in servers:
        server.close()
        await server.wait_closed()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(address)
    return len(set(taken))


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_connections_that_come_together_are_taken_together(factory: object) -> None:
    """One in each step would keep the last of two thousand waiting for seconds, while the others are answered."""
    with asyncio.Runner(loop_factory=factory) as runner:  # type: ignore[arg-type]  # either loop's
        assert runner.run(steps_for(64)) <= 16


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_port_that_is_taken_is_told(factory: object) -> None:
    """And nothing of what was opened stays open."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="address already in use"):
            await listening(asyncio.Protocol, "127.0.0.1", taken.getsockname()[1], backlog=16)

    with asyncio.Runner(loop_factory=factory) as runner:  # type: ignore[arg-type]  # either loop's
        runner.run(scenario())
