"""Redis away, killed, frozen, slow: every request is answered right and in time, and it is used again after that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import pytest

from tests.support.daemon import Daemon, running
from tests.support.outage import ROWS, is_used_again, outage
from tests.support.redis_server import RedisServer, redis_server
from tests.support.tcp_proxy import TcpProxy, tcp_proxy
from tests.support.tier_config import READ_TIMEOUT_MS, one_each
from tests.support.tier_story import TierStory
from tests.support.versions import write_version
from tests.support.witness import witnessed

DAYS: Final = ("absent", "killed", "frozen", "slow")


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
        is_used_again(story, witness, lambda: _hits(stage.servers["absent"]))
    assert story.writes == Counter(ok=ROWS, dropped=0)
    assert story.lookups["l1", "error"] == 0
    story.tells(r"\(redis://.*\) is down: no connection to 127.0.0.1:\d+: nobody listens", r"works again after .* s")


def test_killed(stage: Stage) -> None:
    """A restart of the cache, empty, costs computing again, and nothing else."""
    server = stage.servers["killed"]
    outage(stage.daemon, "killed", server.kill, server.start, said="is down: ", served=lambda: _hits(server))
    assert server.client.dbsize() == ROWS


def test_frozen(stage: Stage) -> None:
    """The worst of outages: connections stay, and nothing comes. Without a bound every request would hang."""
    server = stage.servers["frozen"]
    late = "is down: no answer in time"
    outage(stage.daemon, "frozen", server.freeze, server.thaw, said=late, served=lambda: _hits(server))


def test_slow(stage: Stage) -> None:
    """A cache that takes twice its timeout must not slow down every request by it, nor be used by some of them."""
    proxy = stage.proxy

    def slow_down() -> None:
        proxy.delay_s = 2 * READ_TIMEOUT_MS / 1000

    def speed_up() -> None:
        proxy.delay_s = 0.0

    asked = outage(
        stage.daemon,
        "slow",
        slow_down,
        speed_up,
        said="is down: no answer in time",
        served=lambda: _hits(stage.servers["slow"]),
        asked=lambda: proxy.asked,
    )
    assert asked < 20, "beside a probe now and then nothing may be asked"


def _hits(server: RedisServer) -> int:
    hits: int = server.client.info("stats")["keyspace_hits"]
    return hits
