"""Metrics that have seen one of everything, so that each has a series."""

from __future__ import annotations

from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from mlserve.cache.writes import WriteCounts
from mlserve.errors import LoadError
from mlserve.observe.metrics import Metrics
from mlserve.serving.events import ModelFailed, ModelLoaded
from tests.support.deployments import deployment


class FakeStats:
    """A memory tier as metrics see it."""

    def __init__(self, used_bytes: int = 100, entries: int = 2, evictions: int = 1) -> None:
        self.used_bytes = used_bytes
        self.entries = entries
        self.evictions = evictions

    def __len__(self) -> int:
        return self.entries


class FakeConnection:
    """A connection to a store as metrics see it."""

    def __init__(self, connection_id: str = "shared", down: str | None = None) -> None:
        self.id = connection_id
        self.down = down
        self.writes = WriteCounts(written=3, dropped=1)


def exercised_metrics() -> Metrics:
    """One model, one datastore and one connection."""
    metrics = Metrics()
    loaded = deployment()
    metrics.on_event(ModelLoaded(loaded, None))
    metrics.on_event(ModelFailed("m", LoadError("bad"), loaded, 1.0, repeated=False))
    metrics.request("m", "eval", 200, 0.001)
    model = metrics.model("m")
    model.rows.inc()
    model.pending_rows.inc()
    model.non_finite.inc()
    model.keys_refused.inc()
    model.observe_infer(0.001, 1)
    model.observe_queue(0.001)
    model.observe_batch(1)
    model.observe_lookup("memory", "hit", 1)
    model.observe_cache("memory", "get", 0.001)
    model.observe_joined(1)
    metrics.watch_datastore("hot", FakeStats())
    metrics.watch_connection(FakeConnection())
    return metrics


def exposed(metrics: Metrics) -> list[Metric]:
    """The families as a scraper reads them."""
    return list(text_string_to_metric_families(generate_latest(metrics.registry).decode()))
