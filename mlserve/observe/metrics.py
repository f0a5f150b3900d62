"""The Prometheus metrics of one process, and the children of each that a model's hot path holds.

Names, labels and meaning are a promise to users (``docs/metrics.md``). Label values come from the configuration and
from closed tables, never from a request; series of a removed model go away with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from mlserve import __version__
from mlserve.serving.events import Event, ModelFailed, ModelLoaded, ModelRecovered, ModelRemoved

REQUEST_BUCKETS: Final = (5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
INFER_BUCKETS: Final = (1e-5, 2e-5, 5e-5, *REQUEST_BUCKETS[1:])
LOAD_BUCKETS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a gauge beside every counter that nobody asked for


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """The children of one model that are touched per request."""

    rows: Counter
    pending_rows: Gauge
    infer_seconds: Histogram
    non_finite: Counter

    def observe_infer(self, seconds: float, rows: int) -> None:
        """Called by the runner after each run."""
        self.infer_seconds.observe(seconds)


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
            self._non_finite,
            self._ready,
            self._info,
            self._reloads,
            self._load_seconds,
        )
        Info("mlserve_build", "The version of mlserve.", registry=register).info({"version": __version__})
        self._requests_of: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def model(self, model_id: str) -> ModelMetrics:
        """The hot-path children of a model; asking again gives the same series."""
        return ModelMetrics(
            rows=self._rows.labels(model_id),
            pending_rows=self._pending_rows.labels(model_id),
            infer_seconds=self._infer_seconds.labels(model_id),
            non_finite=self._non_finite.labels(model_id),
        )

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
