"""Dashboards built on the promised names would show nothing, or models that are gone, if these failed."""

from __future__ import annotations

import pytest

from mlserve import __version__
from mlserve.errors import LoadError
from mlserve.observe.meters import Period
from mlserve.observe.metrics import Metrics
from mlserve.serving.events import ModelFailed, ModelLoaded, ModelRecovered, ModelRemoved
from tests.support.deployments import deployment
from tests.support.exercised import FakeStats


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def models(metrics: Metrics) -> set[str]:
    return {
        sample.labels["model"]
        for family in metrics.registry.collect()
        for sample in family.samples
        if "model" in sample.labels
    }


def test_a_request_is_counted_and_timed(metrics: Metrics) -> None:
    """By model, protocol and status."""
    metrics.request("m", "eval", 200, 0.0003)
    metrics.request("m", "eval", 429, 0.0001)
    assert value(metrics, "mlserve_requests_total", model="m", protocol="eval", code="200") == 1
    assert value(metrics, "mlserve_requests_total", model="m", protocol="eval", code="429") == 1
    assert value(metrics, "mlserve_request_seconds_count", model="m", protocol="eval") == 2
    assert value(metrics, "mlserve_request_seconds_sum", model="m", protocol="eval") == pytest.approx(0.0004)
    assert value(metrics, "mlserve_request_seconds_bucket", model="m", protocol="eval", le="0.0002") == 1


def test_the_hot_path_s_children_are_the_shown_series(metrics: Metrics) -> None:
    """However often they are asked for."""
    metrics.model("m").rows.inc(2)
    metrics.model("m").rows.inc(3)
    metrics.model("m").observe_infer(0.00004, 8)
    metrics.model("m").non_finite.inc()
    assert value(metrics, "mlserve_rows_total", model="m") == 5
    assert value(metrics, "mlserve_infer_seconds_bucket", model="m", le="5e-05") == 1
    assert value(metrics, "mlserve_non_finite_outputs_total", model="m") == 1


def test_the_build_tells_its_version(metrics: Metrics) -> None:
    """To see what runs where."""
    assert value(metrics, "mlserve_build_info", version=__version__) == 1


async def test_a_load_is_counted_timed_and_shown(metrics: Metrics) -> None:
    """With one info series per model: that of the version that serves."""
    first, second = deployment(generation="a" * 64), deployment(generation="b" * 64)
    metrics.on_event(ModelLoaded(first, None))
    metrics.on_event(ModelLoaded(second, first))
    assert value(metrics, "mlserve_reloads_total", model="m", result="ok") == 2
    assert value(metrics, "mlserve_load_seconds_sum", model="m") == 0.5
    assert value(metrics, "mlserve_model_ready", model="m") == 1
    assert value(metrics, "mlserve_model_info", model="m", backend="fake", generation="b" * 16) == 1
    assert value(metrics, "mlserve_model_info", model="m", backend="fake", generation="a" * 16) is None


@pytest.mark.parametrize("serves", [False, True])
async def test_a_failure_is_counted_and_the_old_version_stays_ready(metrics: Metrics, serves: bool) -> None:
    """Ready says that somebody answers, not that all is well."""
    old = deployment() if serves else None
    if old is not None:
        metrics.on_event(ModelLoaded(old, None))
    for repeated in (False, True):
        metrics.on_event(ModelFailed("m", LoadError("bad"), old, 1.0, repeated))
    assert value(metrics, "mlserve_reloads_total", model="m", result="failed") == 2
    assert value(metrics, "mlserve_model_ready", model="m") == int(serves)


async def test_a_recovery_is_no_reload(metrics: Metrics) -> None:
    """Nothing was loaded."""
    metrics.on_event(ModelRecovered(deployment()))
    assert value(metrics, "mlserve_reloads_total", model="m", result="ok") is None


async def test_a_removed_model_s_series_go_and_others_stay(metrics: Metrics) -> None:
    """Every one of them, or memory grows with each rename."""
    for model_id in ("m", "other"):
        metrics.on_event(ModelLoaded(deployment(model_id=model_id), None))
        metrics.on_event(ModelFailed(model_id, LoadError("bad"), None, 1.0, repeated=False))
        metrics.request(model_id, "eval", 200, 0.001)
        metrics.model(model_id).observe_infer(0.001, 1)
    held = metrics.model("m")
    metrics.on_event(ModelRemoved("m"))
    assert models(metrics) == {"other"}
    held.rows.inc()
    held.observe_infer(0.001, 1)
    assert models(metrics) == {"other"}
    metrics.request("m", "eval", 200, 0.001)
    assert value(metrics, "mlserve_requests_total", model="m", protocol="eval", code="200") == 1


def test_two_servers_may_live_in_one_process() -> None:
    """A registry shared by all would refuse the second."""
    Metrics().request("m", "eval", 200, 0.1)
    assert models(Metrics()) == set()


def test_memory_tiers_are_read_when_they_are_asked_for(metrics: Metrics) -> None:
    """They change all the time, and a new configuration replaces or drops them."""
    stats = FakeStats(used_bytes=10, entries=1, evictions=0)
    metrics.watch_datastore("hot", stats)
    stats.used_bytes, stats.entries, stats.evictions = 20, 3, 4
    assert value(metrics, "mlserve_cache_bytes", datastore="hot") == 20
    assert value(metrics, "mlserve_cache_entries", datastore="hot") == 3
    assert value(metrics, "mlserve_cache_evictions_total", datastore="hot") == 4
    metrics.watch_datastore("hot", FakeStats(used_bytes=1))
    assert value(metrics, "mlserve_cache_bytes", datastore="hot") == 1
    metrics.forget_datastore("hot")
    metrics.forget_datastore("hot")
    assert value(metrics, "mlserve_cache_bytes", datastore="hot") is None


class Clock:
    """Seconds since 1970, as they are set."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_minutes_turn_as_requests_come() -> None:
    """Without a task that would wake an idle server."""
    clock = Clock(119.0)
    metrics = Metrics(clock)
    codes = metrics.model("m").requests_by("eval").codes
    metrics.request("m", "eval", 200, 0.1)
    clock.now = 120.0
    metrics.request("m", "eval", 200, 0.1)
    assert (codes.of(Period.PREVIOUS), codes.of(Period.CURRENT)) == ({200: 1}, {200: 1})
    clock.now = 240.0
    metrics.request("m", "eval", 200, 0.1)
    assert (codes.of(Period.PREVIOUS), codes.of(Period.CURRENT)) == ({}, {200: 1})
    clock.now = 299.9
    metrics.turn()
    assert codes.of(Period.CURRENT) == {200: 1}
    clock.now = 300.0
    metrics.turn()
    assert codes.of(Period.PREVIOUS) == {200: 1}
    assert metrics.minute == 5


def test_unknown_models_have_requests_and_nothing_else(metrics: Metrics) -> None:
    """A scan for model ids shows, without series that no model stands behind."""
    metrics.request("", "eval", 404, 0.001)
    families = {
        family.name for family in metrics.registry.collect() for sample in family.samples if "model" in sample.labels
    }
    assert families == {"mlserve_requests", "mlserve_request_seconds"}


def test_a_scraper_may_ask_for_some_names_only(metrics: Metrics) -> None:
    """Prometheus' ``name[]``, and the page that shows models."""
    metrics.model("m").rows.inc(3)
    families = list(metrics.registry.restricted_registry(["mlserve_rows_total"]).collect())
    assert [(family.name, family.samples[0].value) for family in families] == [("mlserve_rows", 3)]
