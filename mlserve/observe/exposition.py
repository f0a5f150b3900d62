"""The meters as Prometheus families. Names, labels and meaning are a promise to users (``docs/metrics.md``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Info, Metric, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from mlserve import __version__
from mlserve.observe.meters import Histogram
from mlserve.observe.model_metrics import ModelMetrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # a gauge beside every counter that nobody asked for

MODELS_OF_SLICE: Final = 4
"""A model has some hundred series, which take a millisecond to write."""
Series = tuple[list[str], float]
"""Label values, and a number."""


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


class WriteCounts(Protocol):
    """What became of entries on their way to a store, since the start."""

    @property
    def written(self) -> int: ...

    @property
    def dropped(self) -> int: ...


class ConnectionStats(Protocol):
    """What a connection to a store tells of itself; read when metrics are asked for."""

    @property
    def id(self) -> str: ...

    @property
    def down(self) -> str | None:
        """Why it is not asked; ``None`` while it works."""
        ...

    @property
    def writes(self) -> WriteCounts: ...


class Registry(CollectorRegistry):
    """Everything that ``/metrics`` shows, in a registry of its own, so that two servers may live in one process."""

    def __init__(
        self,
        models: Mapping[str, ModelMetrics],
        datastores: Mapping[str, MemoryStats],
        connections: Mapping[str, ConnectionStats],
    ) -> None:
        super().__init__()
        self._models = models
        self._without_models = CollectorRegistry()
        registries: dict[CollectorRegistry, Mapping[str, ModelMetrics]] = {self: models, self._without_models: {}}
        for registry, shown in registries.items():
            for collector in (ProcessCollector, PlatformCollector, GCCollector):
                collector(registry=registry)
            registry.register(Exposition(shown, datastores, connections))
            Info("mlserve_build", "The version of mlserve.", registry=registry).info({"version": __version__})

    def slices(self) -> Iterator[Iterable[Metric]]:
        """What ``collect`` yields, as much at a time as takes a few milliseconds: first all families without the
        series of models, then those of some models after the others. Who reads may pause in between."""
        models = list(self._models.items())
        yield self._without_models.collect()
        for first in range(0, len(models), MODELS_OF_SLICE):
            yield Exposition(dict(models[first : first + MODELS_OF_SLICE]), {}, {}).collect()


class Exposition(Collector):
    """Reads the meters when it is asked. ``""`` stands for models that are not configured: it has requests only."""

    def __init__(
        self,
        models: Mapping[str, ModelMetrics],
        datastores: Mapping[str, MemoryStats],
        connections: Mapping[str, ConnectionStats],
    ) -> None:
        self._models = models
        self._datastores = datastores
        self._connections = connections

    def describe(self) -> Iterator[Metric]:
        """Called by the registry, which finds families by their names."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        everyone = list(self._models.values())
        models = [model for model in everyone if model.model_id]
        yield from _requests(everyone)
        yield from _rows(models)
        yield from _runs(models)
        yield from _cache(models)
        yield from _loads(models)
        yield from _memory(self._datastores)
        yield from _connections(self._connections)


def _requests(models: Iterable[ModelMetrics]) -> Iterator[Metric]:
    by_protocol = [(model.model_id, name, it) for model in models for name, it in model.requests.items()]
    yield _counter(
        "mlserve_requests",
        "Requests answered, by HTTP status.",
        ["model", "protocol", "code"],
        (
            ([model_id, protocol, str(code)], count)
            for model_id, protocol, it in by_protocol
            for code, count in it.codes.counts.items()
        ),
    )
    yield _histogram(
        "mlserve_request_seconds",
        "From the request line to the answer.",
        ["model", "protocol"],
        (([model_id, protocol], it.seconds) for model_id, protocol, it in by_protocol),
    )


def _rows(models: Iterable[ModelMetrics]) -> Iterator[Metric]:
    def counter(name: str, text: str, read: Callable[[ModelMetrics], float]) -> Metric:
        return _counter(name, text, ["model"], (([model.model_id], read(model)) for model in models))

    yield counter("mlserve_rows", "Rows asked for.", lambda model: model.rows.value)
    yield counter(
        "mlserve_non_finite_outputs", "NaN and infinities answered as null.", lambda model: model.non_finite.value
    )
    yield _gauge(
        "mlserve_pending_rows",
        "Rows that wait for a run or are in one.",
        ["model"],
        (([model.model_id], model.pending_rows.value) for model in models),
    )


def _runs(models: Iterable[ModelMetrics]) -> Iterator[Metric]:
    def histogram(name: str, text: str, read: Callable[[ModelMetrics], Histogram]) -> Metric:
        return _histogram(name, text, ["model"], (([model.model_id], read(model)) for model in models))

    yield histogram("mlserve_queue_seconds", "What requests waited for a run.", lambda model: model.queue_seconds)
    yield histogram("mlserve_infer_seconds", "One run of the model.", lambda model: model.infer_seconds)
    yield histogram("mlserve_batch_rows", "Rows of one run.", lambda model: model.batch_rows)
    yield _counter(
        "mlserve_left_loop",
        "Times that runs left the event loop for threads, being too slow for it.",
        ["model"],
        (([model.model_id], model.left_loop.value) for model in models),
    )
    yield histogram("mlserve_load_seconds", "Loading and proving a version.", lambda model: model.load_seconds)


def _cache(models: Iterable[ModelMetrics]) -> Iterator[Metric]:
    yield _counter(
        "mlserve_cache_lookups",
        "Rows looked up in caches.",
        ["model", "tier", "result"],
        (
            ([model.model_id, tier, result], count)
            for model in models
            for (tier, result), count in model.lookups.counts.items()
        ),
    )
    yield _histogram(
        "mlserve_cache_seconds",
        "One read from, or write to, a tier.",
        ["model", "tier", "op"],
        (
            ([model.model_id, tier, op], histogram)
            for model in models
            for (tier, op), histogram in model.cache_seconds.items()
        ),
    )
    yield _counter(
        "mlserve_flights_joined",
        "Rows that joined a run of another request.",
        ["model"],
        (([model.model_id], model.flights_joined.value) for model in models),
    )
    yield _counter(
        "mlserve_cache_keys_refused",
        "Keys that callers gave with rows, and that are not the rows' own.",
        ["model"],
        (([model.model_id], model.keys_refused.value) for model in models),
    )


def _loads(models: Iterable[ModelMetrics]) -> Iterator[Metric]:
    yield _gauge(
        "mlserve_model_ready",
        "1 if a version serves.",
        ["model"],
        (([model.model_id], int(model.ready)) for model in models if model.ready is not None),
    )
    yield _gauge(
        "mlserve_model_info",
        "1 for the version that serves.",
        ["model", "backend", "generation"],
        (([model.model_id, *model.info], 1) for model in models if model.info is not None),
    )
    yield _counter(
        "mlserve_reloads",
        "Attempts to load a version: ok or failed.",
        ["model", "result"],
        (([model.model_id, result], count) for model in models for result, count in model.reloads.counts.items()),
    )


def _memory(datastores: Mapping[str, MemoryStats]) -> Iterator[Metric]:
    found = datastores.items()
    label = ["datastore"]
    yield _gauge(
        "mlserve_cache_bytes",
        "What memory tiers hold, overhead included.",
        label,
        (([name], stats.used_bytes) for name, stats in found),
    )
    yield _gauge(
        "mlserve_cache_entries", "Rows that memory tiers hold.", label, (([name], len(stats)) for name, stats in found)
    )
    yield _counter(
        "mlserve_cache_evictions",
        "Entries dropped from memory tiers for space.",
        label,
        (([name], stats.evictions) for name, stats in found),
    )


def _connections(connections: Mapping[str, ConnectionStats]) -> Iterator[Metric]:
    found = connections.items()
    label = ["connection"]
    yield _gauge(
        "mlserve_breaker_open",
        "1 while a connection is not asked, because it does not work.",
        label,
        (([name], int(stats.down is not None)) for name, stats in found),
    )
    yield _counter(
        "mlserve_cache_writes",
        "Entries on their way to a store: written, or dropped for want of room or because it refused them.",
        ["connection", "result"],
        (
            ([name, result], count)
            for name, stats in found
            for result, count in (("ok", stats.writes.written), ("dropped", stats.writes.dropped))
        ),
    )


def _counter(name: str, text: str, labels: list[str], series: Iterable[Series]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in series:
        family.add_metric(values, number)
    return family


def _gauge(name: str, text: str, labels: list[str], series: Iterable[Series]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in series:
        family.add_metric(values, number)
    return family


def _histogram(name: str, text: str, labels: list[str], series: Iterable[tuple[list[str], Histogram]]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, histogram in series:
        counts, total = histogram.cumulative()
        bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
        family.add_metric(values, list(zip(bounds, counts, strict=True)), total)
    return family
