"""Redis away, killed, frozen, slow: every request is answered right and in time, and it is used again after that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import pytest

from mlserve.cache.connection import FAILURES
from tests.support.daemon import Daemon, running
from tests.support.redis_server import RedisServer, redis_server
from tests.support.tcp_proxy import TcpProxy, tcp_proxy
from tests.support.tier_config import READ_TIMEOUT_MS, one_each
from tests.support.tier_story import TierStory
from tests.support.versions import write_version
from tests.support.witness import CONNECTIONS, Witness, slow_share, witnessed

DAYS: Final = ("absent", "killed", "frozen", "slow")
MOST_ERRORS: Final = FAILURES * CONNECTIONS
"""Rows that may wait for a tier in vain before nobody asks it any more."""
ROWS: Final = 50
SLOWER: Final = 0.05
"""The share of requests that may be slow on a bad day and were not before: what a busy machine does to any."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One daemon. Each day has a model, a connection and a Redis of its own, all of the day's name."""

    daemon: Daemon
    servers: dict[str, RedisServer]
    proxy: TcpProxy
    """In front of the slow one."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("outages")
    write_version(folder / "m.onnx", 1)
    with ExitStack() as stack:
        servers = {day: stack.enter_context(redis_server()) for day in DAYS}
        proxy = stack.enter_context(tcp_proxy(servers["slow"].port))
        servers["absent"].kill()
        stack.callback(_revive, servers["absent"])
        urls = {day: server.url for day, server in servers.items()} | {"slow": f"redis://127.0.0.1:{proxy.port}/0"}
        config = folder / "config.yaml"
        config.write_text(one_each(urls, timeout_ms=READ_TIMEOUT_MS))
        daemon = stack.enter_context(running(config))
        for day in DAYS[1:]:
            daemon.wait_for_log(f"connection {day} .* is up")
        yield Stage(daemon, servers, proxy)


def _revive(server: RedisServer) -> None:
    """For :func:`redis_server`, which ends what it has started."""
    if server.process.poll() is not None:
        server.start()


def test_absent_at_start(stage: Stage) -> None:
    """A cache that comes up after us must hold up neither the start nor a request, and be used once it is there."""
    story = TierStory(stage.daemon, "absent", "absent", since=0)
    with witnessed(stage.daemon, "absent") as witness:
        witness.await_answers()
        assert story.is_down
        lookups = story.lookups
        assert lookups["l1", "skipped"] >= ROWS
        assert set(lookups) <= {("l1", "skipped"), ("l1", "hit")}, "what is in line for writing may be read"
        assert story.writes["ok"] == 0
        stage.servers["absent"].start()
        _is_used_again(stage.servers["absent"], story, witness)
    assert story.writes == Counter(ok=ROWS, dropped=0)
    assert story.lookups["l1", "error"] == 0
    story.tells(r"\(redis://.*\) is down: no connection to 127.0.0.1:\d+: nobody listens", r"works again after .* s")


def test_killed(stage: Stage) -> None:
    """A restart of the cache, empty, costs computing again, and nothing else."""
    server = stage.servers["killed"]
    _outage(stage, "killed", server.kill, server.start, "is down: ")


def test_frozen(stage: Stage) -> None:
    """The worst of outages: connections stay, and nothing comes. Without a bound every request would hang."""
    server = stage.servers["frozen"]
    _outage(stage, "frozen", server.freeze, server.thaw, "is down: no answer in time")


def test_slow(stage: Stage) -> None:
    """A cache that takes twice its timeout must not slow down every request by it, nor be used by some of them."""
    proxy = stage.proxy

    def slow_down() -> None:
        proxy.delay_s = 2 * READ_TIMEOUT_MS / 1000

    def speed_up() -> None:
        proxy.delay_s = 0.0

    asked = _outage(stage, "slow", slow_down, speed_up, "is down: no answer in time", lambda: proxy.asked)
    assert asked < 20, "beside a probe now and then nothing may be asked"


def _outage(
    stage: Stage,
    day: str,
    begin: Callable[[], None],
    end: Callable[[], None],
    said: str,
    asked: Callable[[], int] = lambda: 0,
) -> int:
    """Before, at its beginning, amid, after. Answers by how much ``asked`` grew amid it."""
    story = TierStory(stage.daemon, day, day)
    with witnessed(stage.daemon, day) as witness:
        witness.await_hits("l1")
        before, counted = witness.await_answers(), story.lookups
        begin()
        story.await_down(down=True)
        amid = witness.await_answers()
        found, questions = story.lookups, asked()
        amid += witness.await_answers()
        questions = asked() - questions
        still = story.lookups
        end()
        _is_used_again(stage.servers[day], story, witness)
    assert found["l1", "error"] - counted["l1", "error"] <= MOST_ERRORS
    for result in ("miss", "error"):
        assert still["l1", result] == found["l1", result], f"a {result} while nobody should ask"
    assert slow_share(amid) <= 2 * slow_share(before) + SLOWER
    assert story.writes["dropped"] == 0
    story.tells(said, "works again after .* s")
    return questions


def _is_used_again(server: RedisServer, story: TierStory, witness: Witness) -> None:
    """All rows come from it, and not from the line of what it has yet to be told."""
    story.await_down(down=False)
    witness.await_hits("l1")
    hits = _hits(server)
    witness.await_answers(ROWS)
    assert _hits(server) >= hits + ROWS
    assert server.client.dbsize() == ROWS


def _hits(server: RedisServer) -> int:
    hits: int = server.client.info("stats")["keyspace_hits"]
    return hits
