"""Probes and dashboards written for mly would read nothing, or something else, if these failed."""

from __future__ import annotations

from typing import Any

import pytest

from mlserve.config.schema import Config, DatastoreConfig, ModelConfig
from mlserve.errors import LoadError, UnknownRoute
from mlserve.observe.metrics import Metrics
from mlserve.serving.events import ModelFailed, ModelLoaded, ModelRemoved
from mlserve.transport.gmetric import Gmetric
from mlserve.transport.message import HttpResponse
from tests.support.deployments import deployment
from tests.support.eval_requests import request, said

BASE = "/v1/api/metric"

PERF = (
    '{"Location":"github.com/viant/mly/service","Name":"ctrPerf","Description":"ctr service performance","Count":3,'
    '"Custom":null,"Counters":[{"Value":"error","Custom":null},{"Value":"eval","Count":2,"Custom":null,"Pct":66},'
    '{"Value":"pending","Custom":null},{"Value":"timeout","Custom":null},'
    '{"Value":"invalid","Count":1,"Custom":null,"Pct":33},{"Value":"canceled","Custom":null},'
    '{"Value":"deadlineExceeded","Custom":null},{"Value":"overloaded","Custom":null}],'
    '"TimeTaken":2450,"Max":1200,"Min":300,"Avg":816,'
    '"Recent":[{"Count":1,"Custom":null,"Counters":[{"Value":"error","Custom":null},'
    '{"Value":"eval","Custom":null},{"Value":"pending","Custom":null},{"Value":"timeout","Custom":null},'
    '{"Value":"invalid","Count":1,"Custom":null,"Pct":100},{"Value":"canceled","Custom":null},'
    '{"Value":"deadlineExceeded","Custom":null},{"Value":"overloaded","Custom":null}],'
    '"TimeTaken":300,"Max":300,"Min":300,"Avg":300},'
    '{"Count":2,"Custom":null,"Counters":[{"Value":"error","Custom":null},'
    '{"Value":"eval","Count":2,"Custom":null,"Pct":100},{"Value":"pending","Custom":null},'
    '{"Value":"timeout","Custom":null},{"Value":"invalid","Custom":null},{"Value":"canceled","Custom":null},'
    '{"Value":"deadlineExceeded","Custom":null},{"Value":"overloaded","Custom":null}],'
    '"TimeTaken":2150,"Max":1200,"Min":950,"Avg":1075}],"Unit":"1µs","RecentUnit":"1m0s"}\n'
)
"""The example of mly's description; its second minute has the one that was invalid."""

KEYS = {
    "ctrHTTPHandler": ["error", "canceled", "deadlineExceeded"],
    "ctrPerf": ["error", "eval", "pending", "timeout", "invalid", "canceled", "deadlineExceeded", "overloaded"],
    "ctrEval": ["error", "running"],
    "ctrBatcherQueue": None,
    "ctrDispatcher": ["timeout", "closing", "full", "instant"],
    "ctrReload": ["error", "canceled", "deadlineExceeded"],
    "hot": [
        "error", "noKey", "collision", "cacheHit", "expired", "hasValue", "L2NoKey", "L1Copy", "timeout", "down",
        "localHasValue", "localNoKey", "L1NoKey", "L1HasValue",
    ],
}  # fmt: skip


class Clock:
    """Seconds since 1970, as they are set."""

    def __init__(self) -> None:
        self.now = 60.0 * 29_000_001

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics(clock: Clock) -> Metrics:
    return Metrics(clock)


@pytest.fixture
def gmetric(metrics: Metrics) -> Gmetric:
    metrics.model("ctr")
    models = (ModelConfig(id="ctr", url="m.onnx", data_store="hot"), ModelConfig(id="b", url="b.onnx"))
    return Gmetric(metrics, Config(models=models, datastores=(DatastoreConfig(id="hot"),)))


def ask(gmetric: Gmetric, path: str) -> HttpResponse:
    return gmetric.operation(request(f"{BASE}/operation/{path}"))


def number(gmetric: Gmetric, path: str) -> Any:
    return said(ask(gmetric, path))


def counts(gmetric: Gmetric, name: str) -> dict[str, int]:
    return {key["Value"]: key["Count"] for key in said(ask(gmetric, name))["Counters"] if "Count" in key}


class TestDocument:
    def test_as_mly_answers_it_byte_by_byte(self, gmetric: Gmetric, metrics: Metrics, clock: Clock) -> None:
        """Order of members, what is left out, shares, whole microseconds, and the end of the line."""
        metrics.request("ctr", "eval", 200, 0.0012)
        metrics.request("ctr", "eval", 200, 0.00095)
        clock.now += 60
        metrics.request("ctr", "eval", 400, 0.0003)
        response = ask(gmetric, "ctrPerf")
        assert response.body.decode() == PERF
        assert response.content_type == "application/json"

    def test_before_anything_happened(self, gmetric: Gmetric) -> None:
        """Zeros, no infinities; occupancy has an empty peak; operations without counters say so."""
        assert ask(gmetric, "ctrEval").body.decode() == (
            '{"Location":"github.com/viant/mly/service","Name":"ctrEval","Description":"ctr evaluator performance",'
            '"Custom":null,"Counters":[{"Value":"error","Custom":null},{"Value":"running","Custom":{}}],'
            '"TimeTaken":0,"Max":0,"Min":0,"Avg":0,"Recent":['
            '{"Custom":null,"Counters":[{"Value":"error","Custom":null},{"Value":"running","Custom":{}}],'
            '"TimeTaken":0,"Max":0,"Min":0,"Avg":0},'
            '{"Custom":null,"Counters":[{"Value":"error","Custom":null},{"Value":"running","Custom":{}}],'
            '"TimeTaken":0,"Max":0,"Min":0,"Avg":0}],"Unit":"1µs","RecentUnit":"1m0s"}\n'
        )
        assert said(ask(gmetric, "ctrBatcherQueue"))["Counters"] is None

    def test_minutes_take_turns_and_old_ones_are_empty(self, gmetric: Gmetric, metrics: Metrics, clock: Clock) -> None:
        """Also when nobody asked anything in between."""
        clock.now += 60
        metrics.request("ctr", "eval", 200, 0.001)
        assert [minute.get("Count") for minute in said(ask(gmetric, "ctrPerf"))["Recent"]] == [1, None]
        clock.now += 60
        assert [minute.get("Count") for minute in said(ask(gmetric, "ctrPerf"))["Recent"]] == [1, None]
        metrics.request("ctr", "eval", 200, 0.001)
        metrics.request("ctr", "eval", 200, 0.001)
        assert [minute.get("Count") for minute in said(ask(gmetric, "ctrPerf"))["Recent"]] == [1, 2]
        clock.now += 120
        assert [minute.get("Count") for minute in said(ask(gmetric, "ctrPerf"))["Recent"]] == [None, None]
        assert said(ask(gmetric, "ctrPerf"))["Count"] == 3

    def test_all_operations_at_once(self, gmetric: Gmetric) -> None:
        """Models in the order in which they came, with every operation whose numbers exist; then datastores."""
        documents = said(gmetric.operations(request(f"{BASE}/operations")))
        keys = {one["Name"]: one["Counters"] and [key["Value"] for key in one["Counters"]] for one in documents}
        assert keys == KEYS
        assert list(keys) == list(KEYS)
        assert [len(one["Recent"]) for one in documents] == [2, 2, 2, 2, 2, 1, 2]
        assert documents[0] == said(ask(gmetric, "ctrHTTPHandler"))

    def test_models_come_and_go(self, gmetric: Gmetric, metrics: Metrics) -> None:
        """Without them a list is empty, and requests for ids that nobody configured make no operation."""
        metrics.request("", "eval", 404, 0.001)
        metrics.on_event(ModelRemoved("ctr"))
        gmetric.configure(Config())
        response = gmetric.operations(request(f"{BASE}/operations"))
        assert response.body == b"[]\n"


class TestNumbers:
    @pytest.mark.parametrize(
        ("metric", "expected"),
        [
            ("count", 3),
            ("min", 300),
            ("max", 1200),
            ("avg", 816),
            ("timeTaken", 2450),
            ("eval", 2),
            ("eval.pct", 66),
            ("invalid.pct", 33),
            ("overloaded", 0),
            ("overloaded.pct", 0),
            ("nothing", 0),
            ("nothing.pct", 0),
            (".pct", 0),
            ("Count", 0),
        ],
    )
    def test_one_at_a_time(self, gmetric: Gmetric, metrics: Metrics, metric: str, expected: int) -> None:
        """Bare integers, since the start or in this minute."""
        for status, seconds in ((200, 0.0012), (200, 0.00095), (400, 0.0003)):
            metrics.request("ctr", "eval", status, seconds)
        for period in ("cumulative", "recent"):
            assert ask(gmetric, f"ctrPerf/{period}/{metric}").body == b"%d\n" % expected

    def test_this_minute(self, gmetric: Gmetric, metrics: Metrics, clock: Clock) -> None:
        """Alone, in all its members or one."""
        metrics.request("ctr", "eval", 200, 0.001)
        clock.now += 60
        metrics.request("ctr", "eval", 429, 0.002)
        assert number(gmetric, "ctrHTTPHandler/recent/count") == 1
        assert number(gmetric, "ctrHTTPHandler/cumulative/count") == 2
        recent = number(gmetric, "ctrHTTPHandler/recent")
        assert list(recent) == ["Count", "Custom", "Counters", "TimeTaken", "Max", "Min", "Avg"]
        assert (recent["TimeTaken"], recent["Counters"][0]) == (
            2000,
            {"Value": "error", "Count": 1, "Custom": None, "Pct": 100},
        )

    def test_what_is_unknown_is_null_or_zero(self, gmetric: Gmetric) -> None:
        """As gmetric has it: probes must not fail while a model loads."""
        assert ask(gmetric, "nobodyPerf").body == b"null\n"
        assert ask(gmetric, "nobodyPerf/recent").body == b"null\n"
        assert ask(gmetric, "nobodyPerf/recent/count").body == b"0\n"
        assert ask(gmetric, "nobodyPerf/cumulative/eval.pct").body == b"0\n"

    @pytest.mark.parametrize("path", ["ctrPerf/", "ctrPerf/cumulative", "ctrPerf/now/count", "ctrPerf/recent/count/a"])
    def test_other_paths_say_what_there_is(self, gmetric: Gmetric, path: str) -> None:
        """In words, not as a number that looks like an answer."""
        with pytest.raises(UnknownRoute, match="<name>/recent/<metric>"):
            ask(gmetric, path)

    def test_counters_belong_to_a_log_that_does_not_exist_here(self, gmetric: Gmetric) -> None:
        """An empty list, and null for each."""
        assert gmetric.counters(request(f"{BASE}/counters")).body == b"[]\n"
        assert gmetric.counter(request(f"{BASE}/counter/ctrLogPerf_Done")).body == b"null\n"


class TestMeaning:
    def test_statuses(self, gmetric: Gmetric, metrics: Metrics) -> None:
        """Which answers count as what, over all protocols."""
        for status, times in ((200, 5), (400, 4), (429, 3), (500, 2), (504, 1)):
            for index in range(times):
                metrics.request("ctr", "v2" if index % 2 else "eval", status, 0.001)
        assert counts(gmetric, "ctrPerf") == {
            "eval": 5, "invalid": 4, "overloaded": 3, "error": 2, "deadlineExceeded": 1,
        }  # fmt: skip
        assert counts(gmetric, "ctrHTTPHandler") == {"error": 10, "deadlineExceeded": 1}
        assert number(gmetric, "ctrPerf")["TimeTaken"] == 15_000

    def test_runs_and_who_waits_for_them(self, gmetric: Gmetric, metrics: Metrics) -> None:
        """Rows there now, and the most there have been."""
        model = metrics.model("ctr")
        model.pending_rows.inc(8)
        model.pending_rows.inc(-5)
        model.observe_infer(0.0005, 5)
        running = number(gmetric, "ctrEval")["Counters"][1]
        assert running == {"Value": "running", "Count": 3, "Custom": {"Max": 8}, "Pct": 300}
        assert number(gmetric, "ctrEval/cumulative/timeTaken") == 500
        assert counts(gmetric, "ctrPerf") == {"pending": 3}

    def test_batches(self, gmetric: Gmetric, metrics: Metrics) -> None:
        """How many runs, of how many rows of how many requests."""
        model = metrics.model("ctr")
        model.observe_batch(7)
        for _ in range(3):
            model.observe_queue(0.0002)
        document = number(gmetric, "ctrDispatcher")
        assert (document["Count"], document["Custom"], document["TimeTaken"]) == (1, {"Elements": 7, "Batches": 3}, 0)
        assert number(gmetric, "ctrBatcherQueue/cumulative/avg") == 200

    async def test_reloads(self, gmetric: Gmetric, metrics: Metrics) -> None:
        """Each attempt, as it ends; only those that end well are timed."""
        loaded = deployment(model_id="ctr")
        metrics.on_event(ModelLoaded(loaded, None))
        metrics.on_event(ModelFailed("ctr", LoadError("bad"), loaded, 1.0, repeated=False))
        assert (number(gmetric, "ctrReload/cumulative/count"), counts(gmetric, "ctrReload")) == (2, {"error": 1})
        assert number(gmetric, "ctrReload")["TimeTaken"] == int(loaded.facts.load_seconds * 1e6)

    def test_caches(self, gmetric: Gmetric, metrics: Metrics) -> None:
        """Rows of the models that name the datastore: each was looked up in memory, some of them further on."""
        lookups = (
            ("memory", "hit", 50), ("memory", "miss", 30), ("memory", "expired", 15), ("memory", "error", 5),
            ("l1", "hit", 20), ("l1", "miss", 30), ("l2", "hit", 10), ("l2", "miss", 20), ("memory", "skipped", 9),
        )  # fmt: skip
        for tier, result, count in lookups:
            metrics.model("ctr").observe_lookup(tier, result, count)
            metrics.model("b").observe_lookup(tier, result, count)
        metrics.model("ctr").observe_cache("l1", "get", 0.001)
        metrics.model("ctr").observe_cache("l1", "put", 0.5)
        document = number(gmetric, "hot")
        assert (document["Count"], document["TimeTaken"]) == (100, 1000)
        assert counts(gmetric, "hot") == {
            "error": 5, "noKey": 20, "cacheHit": 50, "expired": 15, "hasValue": 80, "L2NoKey": 20, "L1Copy": 10,
            "localHasValue": 50, "localNoKey": 50, "L1NoKey": 30, "L1HasValue": 20,
        }  # fmt: skip
