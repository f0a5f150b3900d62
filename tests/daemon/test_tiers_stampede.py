"""Many callers of one cold key: the model runs once in a process, and at most once in each of several."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import orjson
import pytest

from mlserve.transport.descriptors import connections_allowed
from tests.support.daemon import Daemon, running
from tests.support.load import Reply, callers
from tests.support.redis_server import redis_server
from tests.support.tier_config import PATIENT_MS, one_each
from tests.support.tier_story import TierStory

SLOW: Final = """
import os
import time

class Slow:
    signature = {"inputs": {"x": "float32[-1]"}, "outputs": {"y": "float32[-1]"}}

    def predict(self, inputs):
        with open(os.environ["RUNS"], "a") as file:
            file.writelines(f"{x:g}\\n" for x in inputs["x"])
        time.sleep(0.05)
        return {"y": inputs["x"] * 2}
"""
CROWD: Final = 1000
KEYS: Final = 20

Pair = tuple[Daemon, Daemon]


@pytest.fixture(scope="module")
def runs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "runs"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, runs_file: Path) -> Iterator[Pair]:
    """Two daemons of one configuration, which share a Redis."""
    folder = tmp_path_factory.mktemp("stampede")
    (folder / "slow.py").write_text(SLOW)
    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("RUNS", str(runs_file))
        server = stack.enter_context(redis_server())
        config = folder / "config.yaml"
        # No memory tier: what one has stored, the other finds in Redis or not at all.
        config.write_text(one_each({"m": server.url}, timeout_ms=PATIENT_MS, url="'python:slow.py:Slow'"))
        daemons = stack.enter_context(running(config)), stack.enter_context(running(config))
        for daemon in daemons:
            TierStory(daemon, "m", "m").await_down(down=False)
        yield daemons


def _request(x: int) -> bytes:
    return f"GET /v1/api/model/m/eval?x={x} HTTP/1.1\r\nHost: test\r\n\r\n".encode()


def _are_right(replies: list[Reply], x: int) -> bool:
    return all(reply.status == 200 and orjson.loads(reply.body)["data"] == {"y": 2 * x} for reply in replies)


def _runs(runs_file: Path) -> Counter[str]:
    return Counter(runs_file.read_text().split())


async def test_a_thousand_callers_of_a_cold_key_cost_one_run(pair: Pair, runs_file: Path) -> None:
    """A popular key that expires would otherwise take the model down with it."""
    connections_allowed(CROWD)
    async with callers(pair[0].port, CROWD) as clients:
        replies = await asyncio.gather(*(client.ask(_request(7777)) for client in clients))
    assert len(replies) == CROWD
    assert _are_right(replies, 7777)
    assert _runs(runs_file)["7777"] == 1
    told = Counter(reply.headers["cache-status"].split("; ttl")[0] for reply in replies)
    assert told.pop("mlserve; fwd=miss; stored") == 1
    assert told.keys() <= {"mlserve; fwd=miss; collapsed", "l1; hit"}


async def test_two_daemons_compute_a_cold_key_at_most_twice(pair: Pair, runs_file: Path) -> None:
    """Nothing makes them wait for one another; each keeps its own crowd to one run."""
    async with callers(pair[0].port, 10) as one, callers(pair[1].port, 10) as two:
        for x in range(5000, 5000 + KEYS):
            assert _are_right(await asyncio.gather(*(client.ask(_request(x)) for client in (*one, *two))), x)
    runs = _runs(runs_file)
    counts = Counter(runs[str(x)] for x in range(5000, 5000 + KEYS))
    print(f"of {KEYS} keys asked of two daemons at once, {counts[2]} were computed by both")
    assert counts.keys() <= {1, 2}
