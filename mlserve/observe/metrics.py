"""The Prometheus metrics of one process, and the children of each that a model's hot path holds.

Names, labels and meaning are a promise to users (``docs/metrics.md``). Label values come from the configuration and
from closed tables, never from a request; series of a removed model go away with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Metric, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from mlserve import __version__
from mlserve.serving.events import Event, ModelFailed, ModelLoaded, ModelRecovered, ModelRemoved

REQUEST_BUCKETS: Final = (5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
INFER_BUCKETS: Final = (1e-5, 2e-5, 5e-5, *REQUEST_BUCKETS[1:])
QUEUE_BUCKETS: Final = (1e-5, 2e-5, *REQUEST_BUCKETS)
CACHE_BUCKETS: Final = (1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1)
ROWS_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
LOAD_BUCKETS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a gauge beside every counter that nobody asked for


class MemoryStats(Protocol):
    """What a memory tier tells of itself; read when metrics are asked for."""

    @property
    def used_bytes(self) -> int:
        """What its entries cost, overhead included."""
        ...

    @property
    def evictions(self) -> int:
        """Entries dropped for space, since the start."""
        ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """The children of one model that are touched per request."""

    rows: Counter
    pending_rows: Gauge
    infer_seconds: Histogram
    non_finite: Counter
    queue_seconds: Histogram
    batch_rows: Histogram
    flights_joined: Counter
    lookups: Counter
    cache_seconds: Histogram
    model_id: str

    def observe_infer(self, seconds: float, rows: int) -> None:
        """Called by the runner after each run."""
        self.infer_seconds.observe(seconds)

    def observe_queue(self, seconds: float) -> None:
        """Called by the batcher: what a request waited for its run."""
        self.queue_seconds.observe(seconds)

    def observe_batch(self, rows: int) -> None:
        """Called by the batcher when a batch leaves."""
        self.batch_rows.observe(rows)

    def observe_lookup(self, tier: str, result: str, rows: int) -> None:
        """Called by the cache for the rows that a tier answered alike: hit, miss, expired, stale, error, skipped."""
        self.lookups.labels(self.model_id, tier, result).inc(rows)

    def observe_cache(self, tier: str, op: str, seconds: float) -> None:
        """Called by the cache after it read from a tier (``get``) or wrote to it (``put``)."""
        self.cache_seconds.labels(self.model_id, tier, op).observe(seconds)

    def observe_joined(self, flights: int) -> None:
        """Called by the cache for rows that wait for a run which another request began."""
        self.flights_joined.inc(flights)


class _Datastores(Collector):
    """The memory tiers, read at scrape time."""

    def __init__(self) -> None:
        self.stats: dict[str, MemoryStats] = {}

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        used = GaugeMetricFamily(
            "mlserve_cache_bytes", "What memory tiers hold, overhead included.", labels=["datastore"]
        )
        entries = GaugeMetricFamily("mlserve_cache_entries", "Rows that memory tiers hold.", labels=["datastore"])
        evictions = CounterMetricFamily(
            "mlserve_cache_evictions", "Entries dropped from memory tiers for space.", labels=["datastore"]
        )
        for datastore_id, stats in self.stats.items():
            used.add_metric([datastore_id], stats.used_bytes)
            entries.add_metric([datastore_id], len(stats))
            evictions.add_metric([datastore_id], stats.evictions)
        yield from (used, entries, evictions)


class Metrics:
    """Every collector, in a registry of its own so that two servers may live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        register = self.registry
        self._requests = Counter(
            "mlserve_requests", "Requests answered, by HTTP status.", ["model", "protocol", "code"], registry=register
        )
        self._request_seconds = Histogram(
            "mlserve_request_seconds",
            "From the request line to the answer.",
            ["model", "protocol"],
            buckets=REQUEST_BUCKETS,
            registry=register,
        )
        self._rows = Counter("mlserve_rows", "Rows asked for.", ["model"], registry=register)
        self._pending_rows = Gauge(
            "mlserve_pending_rows", "Rows that wait for a thread or run in one.", ["model"], registry=register
        )
        self._infer_seconds = Histogram(
            "mlserve_infer_seconds", "One run of the model.", ["model"], buckets=INFER_BUCKETS, registry=register
        )
        self._queue_seconds = Histogram(
            "mlserve_queue_seconds",
            "What requests waited for a run.",
            ["model"],
            buckets=QUEUE_BUCKETS,
            registry=register,
        )
        self._batch_rows = Histogram(
            "mlserve_batch_rows", "Rows of one batch.", ["model"], buckets=ROWS_BUCKETS, registry=register
        )
        self._flights_joined = Counter(
            "mlserve_flights_joined", "Rows that joined a run of another request.", ["model"], registry=register
        )
        self._lookups = Counter(
            "mlserve_cache_lookups", "Rows looked up in caches.", ["model", "tier", "result"], registry=register
        )
        self._cache_seconds = Histogram(
            "mlserve_cache_seconds",
            "One read from, or write to, a tier.",
            ["model", "tier", "op"],
            buckets=CACHE_BUCKETS,
            registry=register,
        )
        self._non_finite = Counter(
            "mlserve_non_finite_outputs", "NaN and infinities answered as null.", ["model"], registry=register
        )
        self._ready = Gauge("mlserve_model_ready", "1 if a version serves.", ["model"], registry=register)
        self._info = Gauge(
            "mlserve_model_info",
            "1 for the version that serves.",
            ["model", "backend", "generation"],
            registry=register,
        )
        self._reloads = Counter(
            "mlserve_reloads", "Attempts to load a version: ok or failed.", ["model", "result"], registry=register
        )
        self._load_seconds = Histogram(
            "mlserve_load_seconds", "Loading and proving a version.", ["model"], buckets=LOAD_BUCKETS, registry=register
        )
        self._by_model: tuple[Counter | Gauge | Histogram, ...] = (
            self._requests,
            self._request_seconds,
            self._rows,
            self._pending_rows,
            self._infer_seconds,
            self._queue_seconds,
            self._batch_rows,
            self._flights_joined,
            self._lookups,
            self._cache_seconds,
            self._non_finite,
            self._ready,
            self._info,
            self._reloads,
            self._load_seconds,
        )
        Info("mlserve_build", "The version of mlserve.", registry=register).info({"version": __version__})
        self._datastores = _Datastores()
        register.register(self._datastores)
        self._requests_of: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def model(self, model_id: str) -> ModelMetrics:
        """The hot-path children of a model; asking again gives the same series."""
        return ModelMetrics(
            rows=self._rows.labels(model_id),
            pending_rows=self._pending_rows.labels(model_id),
            infer_seconds=self._infer_seconds.labels(model_id),
            non_finite=self._non_finite.labels(model_id),
            queue_seconds=self._queue_seconds.labels(model_id),
            batch_rows=self._batch_rows.labels(model_id),
            flights_joined=self._flights_joined.labels(model_id),
            lookups=self._lookups,
            cache_seconds=self._cache_seconds,
            model_id=model_id,
        )

    def watch_datastore(self, datastore_id: str, stats: MemoryStats) -> None:
        """Show a memory tier from now on, in place of one with the same id."""
        self._datastores.stats[datastore_id] = stats

    def forget_datastore(self, datastore_id: str) -> None:
        """The datastore is gone, if it was there."""
        self._datastores.stats.pop(datastore_id, None)

    def request(self, model_id: str, protocol: str, status: int, seconds: float) -> None:
        """One answered request; ``model_id`` is empty for ids that are not configured."""
        key = (model_id, protocol, status)
        children = self._requests_of.get(key)
        if children is None:
            children = self._requests_of[key] = (
                self._requests.labels(model_id, protocol, str(status)),
                self._request_seconds.labels(model_id, protocol),
            )
        children[0].inc()
        children[1].observe(seconds)

    def on_event(self, event: Event) -> None:
        """A listener of the manager's."""
        match event:
            case ModelLoaded(deployment, _):
                self._reloads.labels(event.model_id, "ok").inc()
                self._load_seconds.labels(event.model_id).observe(deployment.facts.load_seconds)
                self._ready.labels(event.model_id).set(1)
                self._info.remove_by_labels({"model": event.model_id})
                self._info.labels(event.model_id, deployment.facts.backend, deployment.generation[:16]).set(1)
            case ModelFailed(model_id, _, serving):
                self._reloads.labels(model_id, "failed").inc()
                self._ready.labels(model_id).set(1 if serving else 0)
            case ModelRecovered():
                pass
            case ModelRemoved(model_id):
                self._forget(model_id)

    def _forget(self, model_id: str) -> None:
        for metric in self._by_model:
            metric.remove_by_labels({"model": model_id})
        self._requests_of = {key: value for key, value in self._requests_of.items() if key[0] != model_id}
