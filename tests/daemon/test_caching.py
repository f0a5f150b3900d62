"""The memory tier as callers meet it: a real process, real requests, the headers of RFC 9211."""

from __future__ import annotations

import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import orjson
import pytest

from tests.support.daemon import Daemon, running
from tests.support.versions import publish, write_version

SLOW = """
import time

class Slow:
    signature = {"inputs": {"x": "float32[-1]"}, "outputs": {"y": "float32[-1]"}}

    def predict(self, inputs):
        time.sleep(0.3)
        return {"y": inputs["x"] * 2}
"""
CONFIG = """
Models:
  - {ID: cached, URL: served, ReadyFile: _SUCCESS, DataStore: hot}
  - {ID: plain, URL: served, ReadyFile: _SUCCESS}
  - {ID: rounded, URL: served, ReadyFile: _SUCCESS, DataStore: hot, Inputs: [{Name: x, Precision: 1}]}
Datastores:
  - {ID: hot, Cache: {SizeMB: 8}, TimeToLiveMs: 60000}
"""


class Answer:
    def __init__(self, status: int, headers: Any, body: dict[str, Any]) -> None:
        self.status = status
        self.cache: str | None = headers.get("Cache-Status")
        self.body = body


def ask(daemon: Daemon, model: str, query: str = "x=1", body: object = None, **headers: str) -> Answer:
    url = f"{daemon.url}/v1/api/model/{model}/eval" + ("" if body is not None else f"?{query}")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    data = None if body is None else orjson.dumps(body)
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, named), timeout=20) as answer:
            return Answer(answer.status, answer.headers, orjson.loads(answer.read()))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, orjson.loads(error.read()))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("caching")
    (folder / "served").mkdir()
    (folder / "served" / "_SUCCESS").touch()
    write_version(folder / "v1", 1)
    publish(folder / "v1", folder / "served" / "m.onnx")
    (folder / "config.yaml").write_text(CONFIG)
    with running(folder / "config.yaml") as daemon:
        yield daemon


def test_a_row_is_computed_once_and_then_comes_from_memory(daemon: Daemon) -> None:
    """Miss, hit, and the hit that is answered without decoding all give the same answer."""
    answers = [ask(daemon, "cached", "x=41") for _ in range(4)]
    assert [answer.body["data"] for answer in answers] == [{"a": 42, "b": 42}] * 4
    assert answers[0].cache == "mlserve; fwd=miss; stored"
    for answer in answers[1:]:
        assert answer.cache is not None
        assert answer.cache.startswith("memory; hit; ttl=5")
    assert len({answer.body["dictHash"] for answer in answers}) == 1


def test_get_and_post_share_an_entry(daemon: Daemon) -> None:
    """The key is the row, not the words that asked for it."""
    assert ask(daemon, "cached", "x=7.5").cache == "mlserve; fwd=miss; stored"
    hit = ask(daemon, "cached", body={"x": 7.5})
    assert hit.cache is not None
    assert hit.cache.startswith("memory; hit")


def test_a_batch_asks_only_for_what_is_missing(daemon: Daemon) -> None:
    """90 rows in the cache and 10 not must cost 10."""
    ask(daemon, "cached", body={"x": [101, 102, 103]})
    mixed = ask(daemon, "cached", body={"x": [102, 104, 101, 104]})
    assert mixed.cache == 'mlserve; detail="memory=2 miss=2"'
    assert [row["a"] for row in mixed.body["data"]] == [103, 105, 102, 105]


@pytest.mark.parametrize(
    ("directive", "status", "cache"),
    [
        ("no-store", 200, "mlserve; fwd=bypass"),
        ("no-cache", 200, "mlserve; fwd=request; stored"),
        ("only-if-cached", 200, "memory; hit"),
    ],
)
def test_callers_say_how_the_cache_takes_part(daemon: Daemon, directive: str, status: int, cache: str) -> None:
    """Someone who wants a fresh answer, or none at all, gets just that."""
    ask(daemon, "cached", "x=55")
    answer = ask(daemon, "cached", "x=55", Cache_Control=directive)
    assert answer.status == status
    assert answer.cache is not None
    assert answer.cache.startswith(cache)


def test_only_if_cached_is_504_on_a_miss(daemon: Daemon) -> None:
    """RFC 9111, section 5.2.1.7."""
    answer = ask(daemon, "cached", "x=-1234", Cache_Control="only-if-cached")
    assert (answer.status, answer.body["code"]) == (504, "not_cached")


def test_precision_makes_neighbours_one(daemon: Daemon) -> None:
    """What rounds to the same value is one row, for the key and for the model."""
    assert ask(daemon, "rounded", "x=2.04").body["data"] == ask(daemon, "rounded", "x=1.96").body["data"]
    hit = ask(daemon, "rounded", "x=1.99")
    assert hit.cache is not None
    assert hit.cache.startswith("memory; hit")


def test_a_model_without_a_datastore_is_not_cached(daemon: Daemon) -> None:
    """And says nothing of caches."""
    assert [ask(daemon, "plain", "x=3").cache for _ in range(3)] == [None] * 3


def test_explain_tells_the_key_and_what_memory_holds(daemon: Daemon) -> None:
    """The first question of everybody who wonders why something was a miss."""
    path = "/v1/api/model/rounded/explain?x=9.06"
    status, before = daemon.get(path)
    assert status == 200
    assert before["key"] == "9.1"
    assert before["tiers"] == {"memory": {"state": "miss"}}
    assert before["segments"] == [
        {"input": "x", "value": 9.06, "segment": "9.1", "rule": "rounded to 1 decimal, as the model sees it"}
    ]
    ask(daemon, "rounded", "x=9.1")
    assert daemon.get(path)[1]["tiers"]["memory"]["state"] == "hit"  # type: ignore[index]
    assert daemon.get("/v1/api/model/plain/explain?x=1")[1]["notCached"] == "it names no DataStore"


def runs_of(daemon: Daemon, model: str) -> int:
    with urllib.request.urlopen(f"{daemon.url}/metrics", timeout=10) as response:
        found = re.search(rf'mlserve_infer_seconds_count{{model="{model}"}} (\d+)', response.read().decode())
    assert found is not None
    return int(found[1])


def test_concurrent_callers_of_one_cold_row_share_a_run(tmp_path: Path) -> None:
    """A stampede on a cold key must cost one run of the model."""
    (tmp_path / "slow.py").write_text(SLOW)
    config = tmp_path / "config.yaml"
    config.write_text(
        "Models: [{ID: m, URL: 'python:slow.py:Slow', DataStore: d}]\nDatastores: [{ID: d, Cache: {SizeMB: 1}}]\n"
    )
    with running(config) as daemon:
        before = runs_of(daemon, "m")
        answers: list[Answer] = []
        callers = [threading.Thread(target=lambda: answers.append(ask(daemon, "m", "x=5"))) for _ in range(20)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert [answer.body["data"] for answer in answers] == [{"y": 10}] * 20
        assert sum(answer.cache == "mlserve; fwd=miss; stored" for answer in answers) == 1
        assert runs_of(daemon, "m") == before + 1


class Asking:
    """Asks one row of a model again and again from a thread, and keeps every answer."""

    def __init__(self, daemon: Daemon, model: str) -> None:
        self._daemon = daemon
        self._model = model
        self._enough = threading.Event()
        self.answers: list[Answer] = []
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._enough.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._enough.is_set():
            self.answers.append(ask(self._daemon, self._model, "x=1"))


@pytest.mark.parametrize(
    ("store", "after"),
    [
        ("Datastores: [{ID: d, Cache: {SizeMB: 16}}]", "memory; hit; ttl="),
        ("Datastores: [{ID: d, Cache: {SizeMB: 8}, TimeToLiveMs: 20000}]", "memory; hit; ttl="),
        ("Datastores: [{ID: d, Cache: {SizeMB: 8}, Disabled: true}]", None),
        ("Datastores: [{ID: d}]", None),
        ("GlobalBatching: {MaxBatchSize: 2}\nDatastores: [{ID: d, Cache: {SizeMB: 8}}]", "memory; hit; ttl="),
    ],
    ids=["another size", "another life", "switched off", "no memory", "other batches"],
)
def test_a_changed_configuration_applies_while_callers_are_answered(
    tmp_path: Path, store: str, after: str | None
) -> None:
    """Without a restart, and without a request that fails or gets another answer."""
    (tmp_path / "_SUCCESS").touch()
    write_version(tmp_path / "m.onnx", 1)
    config = tmp_path / "config.yaml"
    models = "Models: [{ID: m, URL: m.onnx, DataStore: d}]\n"
    config.write_text(models + "Datastores: [{ID: d, Cache: {SizeMB: 8}}]\n")
    with running(config) as daemon, Asking(daemon, "m") as asking:
        since = len(daemon.log)
        staged = tmp_path / "staged.yaml"
        staged.write_text(models + store + "\n")
        staged.replace(config)
        daemon.wait_for_log("m replaced", since=since)
        seen = len(asking.answers) + 3
        daemon.wait_until(lambda: len(asking.answers) > seen)
    assert {answer.status for answer in asking.answers} == {200}
    assert {answer.body["data"]["a"] for answer in asking.answers} == {2}
    last = asking.answers[-1].cache
    assert last is None if after is None else (last or "").startswith(after)


def test_a_swap_is_gentle(tmp_path: Path) -> None:
    """The rows that were asked most are in the new version's cache before anybody asks for them."""
    served = tmp_path / "served"
    served.mkdir()
    (served / "_SUCCESS").touch()
    for version in (1, 2):
        write_version(tmp_path / f"v{version}", version)
    publish(tmp_path / "v1", served / "m.onnx")
    config = tmp_path / "config.yaml"
    config.write_text(
        "Models: [{ID: m, URL: served, ReadyFile: _SUCCESS, DataStore: d}]\nDatastores: [{ID: d, Cache: {SizeMB: 8}}]\n"
    )
    with running(config) as daemon:
        rows = list(range(500))
        ask(daemon, "m", body={"x": rows})
        publish(tmp_path / "v2", served / "m.onnx")
        daemon.wait_for_log("m replaced")
        answer = ask(daemon, "m", body={"x": rows})
        assert answer.cache == 'mlserve; detail="memory=500"'
        assert [row["a"] for row in answer.body["data"]] == [row + 2 for row in rows]
        assert any("warmed the new version with 500 rows" in line for line in daemon.log)
