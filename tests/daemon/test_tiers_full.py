"""Redis that answers and takes no writes, or forgets: requests are answered as ever, and what is there is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Final

import pytest

from tests.support.daemon import Daemon, running
from tests.support.redis_server import RedisServer, redis_server
from tests.support.tier_config import PATIENT_MS, one_each
from tests.support.tier_story import TierStory
from tests.support.versions import write_version
from tests.support.witness import slow_share, witnessed

DAYS: Final = ("replica", "full", "evicting")
ROOM_BYTES: Final = 400_000
"""Some 1,500 entries."""

Stage = tuple[Daemon, dict[str, RedisServer]]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One daemon. Each day has a model, a connection and a Redis of its own, all of the day's name."""
    folder = tmp_path_factory.mktemp("full")
    write_version(folder / "m.onnx", 1)
    with ExitStack() as stack:
        servers = {day: stack.enter_context(redis_server()) for day in DAYS}
        config = folder / "config.yaml"
        config.write_text(one_each({day: server.url for day, server in servers.items()}, timeout_ms=PATIENT_MS))
        daemon = stack.enter_context(running(config))
        for day in DAYS:
            daemon.wait_for_log(f"connection {day} .* is up")
        yield daemon, servers


def test_a_replica(stage: Stage) -> None:
    """After a failover the address may be of a replica: it answers reads, and must not be taken for broken."""
    redis = stage[1]["replica"].client
    _refuses(
        stage,
        "replica",
        lambda: redis.replicaof("127.0.0.1", 1),
        lambda: redis.replicaof("NO", "ONE"),
        "does not take writes: the server is a replica: give the address of the primary, or say ReadOnly",
    )


def test_out_of_memory(stage: Stage) -> None:
    """The default policy of Redis refuses when it is full; what it holds is as good as ever."""
    redis = stage[1]["full"].client
    _refuses(
        stage,
        "full",
        lambda: redis.config_set("maxmemory", 1),
        lambda: redis.config_set("maxmemory", 0),
        "does not take writes: the server's memory is full: raise its maxmemory, or let it evict",
    )


def _refuses(stage: Stage, day: str, begin: Callable[[], object], end: Callable[[], object], said: str) -> None:
    daemon, redis = stage[0], stage[1][day].client
    story = TierStory(daemon, day, day)
    with witnessed(daemon, day, range(50)) as known:
        known.await_hits("l1")
        before = known.await_answers()
        daemon.wait_until(lambda: story.writes["ok"] == 50)
        begin()
        with witnessed(daemon, day, range(1000, 9000)) as fresh:
            amid = fresh.await_answers(100)
            known.await_hits("l1")
            daemon.wait_until(lambda: story.writes["dropped"] > 0)
            assert not story.is_down
            assert story.writes["ok"] == redis.dbsize() == 50
            amid += known.await_answers()
            end()
            daemon.wait_until(lambda: redis.dbsize() > 50, 30)
    assert slow_share(amid) <= 2 * slow_share(before) + 0.05
    assert story.lookups["l1", "error"] == story.lookups["l1", "skipped"] == 0
    story.tells(said, "takes writes again")


def test_evicting(stage: Stage) -> None:
    """A cache that is too small for the load forgets, and goes on: no error, no line, and within its bound."""
    daemon, redis = stage[0], stage[1]["evicting"].client
    redis.config_set("maxmemory-policy", "allkeys-lru")
    redis.config_set("maxmemory", redis.info("memory")["used_memory"] + ROOM_BYTES)
    story = TierStory(daemon, "evicting", "evicting")
    rows = list(range(3000))

    def ask_all() -> None:
        status, answer = daemon.post("/v1/api/model/evicting/eval", {"x": rows})
        assert status == 200
        assert answer["data"] == [{"a": row + 1, "b": row + 1} for row in rows]

    def evicted() -> bool:
        ask_all()
        return bool(redis.info("stats")["evicted_keys"] > 1000)

    with witnessed(daemon, "evicting") as witness:
        daemon.wait_until(evicted, 30)
        witness.await_hits("l1")
        assert redis.dbsize() < len(rows)
        redis.config_set("maxmemory", 0)
        ask_all()
        daemon.wait_until(lambda: redis.dbsize() == len(rows), 30)
        misses = story.lookups["l1", "miss"]
        ask_all()
    assert story.lookups["l1", "miss"] == misses
    assert story.lookups["l1", "error"] == story.writes["dropped"] == 0
    assert story.lines == []
