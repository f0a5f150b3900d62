"""Entries that others spoiled: each is a miss and a count, never an answer, and the right answer takes its place."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import lmdb
import orjson
import psutil
import pytest
from redis import Redis

from tests.support.daemon import Daemon, running
from tests.support.redis_server import redis_server
from tests.support.tier_config import PATIENT_MS, one_each
from tests.support.tier_story import TierStory
from tests.support.versions import write_version

HUGE: Final = 100 * 1024 * 1024
_RANDOM: Final = bytes((n * 197 + 31) % 256 for n in range(300))

Spoil = Callable[[bytes, bytes], bytes]
"""From an entry, and the entry of another model for the same row, to what stands in its place."""

POISONS: Final[dict[str, Spoil]] = {
    "random bytes": lambda entry, other: _RANDOM,
    "nothing": lambda entry, other: b"",
    "cut short": lambda entry, other: entry[:-3],
    "the head alone": lambda entry, other: entry[:5],
    "longer": lambda entry, other: entry + b"\0",
    "another format": lambda entry, other: bytes([entry[0] + 1]) + entry[1:],
    "a flipped bit": lambda entry, other: entry[:-1] + bytes([entry[-1] ^ 1]),
    "another model's": lambda entry, other: other,
}


def _ask(daemon: Daemon, model: str, x: int) -> tuple[dict[str, Any], str]:
    with urllib.request.urlopen(f"{daemon.url}/v1/api/model/{model}/eval?x={x}", timeout=30) as answer:
        return orjson.loads(answer.read())["data"], answer.headers["Cache-Status"]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Any]]:
    """Models ``one`` and ``two``, which answer the same rows otherwise, and the Redis that they share."""
    folder = tmp_path_factory.mktemp("poison")
    for version, name in enumerate(("one", "two"), 1):
        write_version(folder / f"{name}.onnx", version)
    with ExitStack() as stack:
        server = stack.enter_context(redis_server())
        config = folder / "config.yaml"
        text = one_each({"one": server.url, "two": server.url}, timeout_ms=PATIENT_MS)
        config.write_text(text.replace("m.onnx", "one.onnx", 1).replace("m.onnx", "two.onnx", 1))
        daemon = stack.enter_context(running(config))
        for name in ("one", "two"):
            daemon.wait_for_log(f"connection {name} .* is up")
        yield daemon, server.client


def _entry_of(daemon: Daemon, redis: Redis, model: str, x: int) -> bytes:
    """The name under which the answer to a row that nobody asked for before is stored."""
    before, story = set(redis.keys()), TierStory(daemon, model, model)
    written = story.writes["ok"]
    _ask(daemon, model, x)
    # Until then it is read from the line of what is to be written.
    daemon.wait_until(lambda: story.writes["ok"] > written)
    (name,) = set(redis.keys()) - before
    assert isinstance(name, bytes)
    return name


@pytest.mark.parametrize("poison", POISONS)
def test_in_redis(stage: tuple[Daemon, Any], poison: str) -> None:
    """Anybody who can write to the store could otherwise choose our answers, or stop them."""
    daemon, redis = stage
    x = 1000 + list(POISONS).index(poison)
    name, other = (_entry_of(daemon, redis, model, x) for model in ("one", "two"))
    good = redis.get(name)
    bad = POISONS[poison](good, redis.get(other))
    redis.set(name, bad)
    before = TierStory(daemon, "one", "one").lookups
    assert _ask(daemon, "one", x) == ({"a": x + 1, "b": x + 1}, "mlserve; fwd=miss; stored")
    after = TierStory(daemon, "one", "one").lookups
    assert after - before == {("l1", "error"): 1}
    daemon.wait_until(lambda: redis.get(name) != bad)
    answer, status = _ask(daemon, "one", x)
    assert (answer, status.split("; ttl")[0]) == ({"a": x + 1, "b": x + 1}, "l1; hit")
    assert TierStory(daemon, "one", "one").is_down is False


def test_a_huge_value_in_redis(stage: tuple[Daemon, Any]) -> None:
    """A hundred megabytes under a name of ours must not be taken in, nor make the connection look broken."""
    daemon, redis = stage
    story = TierStory(daemon, "one", "one")
    name = _entry_of(daemon, redis, "one", 2000)
    redis.setrange(name, HUGE - 1, b"x")
    process = psutil.Process(daemon.process.pid)
    before = process.memory_info().rss
    assert _ask(daemon, "one", 2000) == ({"a": 2001, "b": 2001}, "mlserve; fwd=miss; stored")
    assert process.memory_info().rss - before < HUGE / 4
    daemon.wait_until(lambda: redis.strlen(name) < HUGE)
    assert _ask(daemon, "one", 2000)[1].startswith("l1; hit")
    assert story.lines == []


def test_a_type_that_is_no_string_in_redis(stage: tuple[Daemon, Any]) -> None:
    """Somebody's list under a name of ours is no error of the server's."""
    daemon, redis = stage
    name = _entry_of(daemon, redis, "one", 3000)
    redis.delete(name)
    redis.rpush(name, "not", "ours")
    assert _ask(daemon, "one", 3000)[0] == {"a": 3001, "b": 3001}
    daemon.wait_until(lambda: redis.type(name) == b"string")
    assert _ask(daemon, "one", 3000)[1].startswith("l1; hit")


def test_in_lmdb(tmp_path: Path) -> None:
    """A file is open to whoever may write it, while the daemon is not there."""
    write_version(tmp_path / "m.onnx", 1)
    config = tmp_path / "config.yaml"
    config.write_text(one_each({"disk": "lmdb:cache"}, timeout_ms=PATIENT_MS))
    rows = list(range(len(POISONS) + 2))
    right = [{"a": x + 1, "b": x + 1} for x in rows]
    with running(config) as daemon:
        assert daemon.post("/v1/api/model/disk/eval", {"x": rows})[1]["data"] == right
        story = TierStory(daemon, "disk", "disk")
        daemon.wait_until(lambda: story.writes["ok"] == len(rows))
        daemon.process.kill()  # what was closed in order and has changed since is not even opened
        daemon.process.wait()
    _spoil(tmp_path / "cache", len(rows))
    with running(config) as daemon:
        story = TierStory(daemon, "disk", "disk", since=0)
        story.await_down(down=False)
        assert daemon.post("/v1/api/model/disk/eval", {"x": rows})[1]["data"] == right
        # One is as it was, and one too large to be looked at.
        assert story.lookups == {("l1", "hit"): 1, ("l1", "miss"): 1, ("l1", "error"): len(POISONS)}
        assert all(_ask(daemon, "disk", x)[1].startswith("l1; hit") for x in rows)
        story.tells("is up")


def _spoil(cache: Path, count: int) -> None:
    """Every entry but one: the last of them becomes huge, the others one poison each."""
    (segment,) = cache.glob("segment-*")
    with lmdb.open(str(segment), map_size=1 << 29) as env, env.begin(write=True) as txn:
        names, entries = zip(*txn.cursor(), strict=True)
        assert len(names) == count
        for name, entry, other, spoil in zip(names, entries, entries[1:], POISONS.values(), strict=False):
            # The first eight bytes are the store's own: when the entry ends.
            txn.put(name, entry[:8] + spoil(entry[8:], other[8:]))
        txn.put(names[-1], entries[-1][:8] + bytes(HUGE))
