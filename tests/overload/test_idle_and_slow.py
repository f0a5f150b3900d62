"""Two thousand connections that ask nothing, and two hundred that dribble: the others must not notice."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from contextlib import AbstractContextManager

from tests.support.crowd import crowd
from tests.support.daemon import Daemon
from tests.support.load import callers, closed_loop, percentile

IDLE = 2000
DRIBBLING = 200
ROUNDS = 5
GET = b"GET /v1/api/model/m/eval?x=1 HTTP/1.1\r\nHost: test\r\n\r\n"

Serve = Callable[[float, str], AbstractContextManager[Daemon]]


def test_normal_requests_stay_as_fast(serve: Serve) -> None:
    """At most 1.5 times the p99 without them: the best of a few rounds, for others share the machine."""
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    idle = IDLE if most_files == resource.RLIM_INFINITY else min(IDLE, most_files - 1000)

    async def rounds(daemon: Daemon) -> list[float]:
        ratios: list[float] = []
        async with callers(daemon.port, 4) as clients:
            await closed_loop(clients, GET, each=100)
            while len(ratios) < ROUNDS and not any(ratio <= 1.5 for ratio in ratios):
                without = await closed_loop(clients, GET, each=500)
                with crowd(daemon.port, idle=idle, dribbling=DRIBBLING):
                    among_them = await closed_loop(clients, GET, each=500)
                assert {reply.status for reply in without + among_them} == {200}
                ratios.append(percentile(among_them, 99) / percentile(without, 99))
        return ratios

    with serve(0.0, "{}") as daemon:
        ratios = asyncio.run(rounds(daemon))
        assert min(ratios) <= 1.5, ratios
