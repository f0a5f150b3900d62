"""The numbers of one process: who counts calls these, and two views show them.

``/metrics`` (:mod:`mlserve.observe.exposition`) and the gmetric routes (:mod:`mlserve.observe.operations`) read the
same meters, so nothing is counted twice. Labels come from the configuration and from closed tables, never from a
request; what belongs to a removed model goes away with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import time
from typing import Final

from mlserve.observe.exposition import ConnectionStats, MemoryStats, Registry
from mlserve.observe.model_metrics import ModelMetrics, Requests
from mlserve.serving.events import Event, ModelFailed, ModelLoaded, ModelRecovered, ModelRemoved

__all__ = ["MINUTE_S", "MemoryStats", "Metrics", "ModelMetrics"]

MINUTE_S: Final = 60


class Metrics:
    """Every meter. ``clock`` tells seconds since 1970; minutes are those of the clock on the wall."""

    def __init__(self, clock: Callable[[], float] = time) -> None:
        self._clock = clock
        self._models: dict[str, ModelMetrics] = {}
        self._requests: dict[tuple[str, str], Requests] = {}
        self._datastores: dict[str, MemoryStats] = {}
        self.minute = int(clock() // MINUTE_S)
        self._minute_ends = (self.minute + 1) * MINUTE_S
        self._connections: dict[str, ConnectionStats] = {}
        self.registry = Registry(self._models, self._datastores, self._connections)

    @property
    def models(self) -> Mapping[str, ModelMetrics]:
        """By id, in the order in which they came; ``""`` stands for ids that are not configured."""
        return self._models

    @property
    def datastores(self) -> Mapping[str, MemoryStats]:
        """The memory tiers that are watched, by the id of their datastore."""
        return self._datastores

    def model(self, model_id: str) -> ModelMetrics:
        """The meters of a model; asking again gives the same ones."""
        found = self._models.get(model_id)
        if found is None:
            found = self._models[model_id] = ModelMetrics(model_id)
        return found

    def request(self, model_id: str, protocol: str, status: int, seconds: float) -> None:
        """One answered request; ``model_id`` is empty for ids that are not configured."""
        requests = self._requests.get((model_id, protocol))
        if requests is None:
            requests = self._requests[model_id, protocol] = self.model(model_id).requests_by(protocol)
        self.answered(requests, status, seconds)

    def answered(self, requests: Requests, status: int, seconds: float) -> None:
        """One answered request among ``requests``, those of its model by its protocol."""
        now = self._clock()
        if now >= self._minute_ends:
            self._turn(now)
        requests.codes.counts[status] += 1
        requests.seconds.observe(seconds)

    def turn(self) -> None:
        """Begin a new minute if it is time. Requests do so as they come; a reader does so before it reads."""
        now = self._clock()
        if now >= self._minute_ends:
            self._turn(now)

    def watch_datastore(self, datastore_id: str, stats: MemoryStats) -> None:
        """Show a memory tier from now on, in place of one with the same id."""
        self._datastores[datastore_id] = stats

    def forget_datastore(self, datastore_id: str) -> None:
        """The datastore is gone, if it was there."""
        self._datastores.pop(datastore_id, None)

    def watch_connection(self, connection: ConnectionStats) -> None:
        """Show a connection from now on, in place of one with the same id."""
        self._connections[connection.id] = connection

    def forget_connection(self, connection: ConnectionStats) -> None:
        """The connection is closed; one that has taken its place stays."""
        if self._connections.get(connection.id) is connection:
            del self._connections[connection.id]

    def on_event(self, event: Event) -> None:
        """A listener of the manager's."""
        self.turn()
        match event:
            case ModelLoaded(deployment, _):
                model = self.model(event.model_id)
                model.reloads.counts["ok"] += 1
                model.load_seconds.observe(deployment.facts.load_seconds)
                model.ready = True
                model.info = (deployment.facts.backend, deployment.generation[:16])
            case ModelFailed(model_id, _, serving):
                model = self.model(model_id)
                model.reloads.counts["failed"] += 1
                model.ready = serving is not None
            case ModelRecovered():
                pass
            case ModelRemoved(model_id):
                self._models.pop(model_id, None)
                self._requests = {key: value for key, value in self._requests.items() if key[0] != model_id}

    def _turn(self, now: float) -> None:
        minute = int(now // MINUTE_S)
        gap = minute != self.minute + 1
        self.minute, self._minute_ends = minute, (minute + 1) * MINUTE_S
        for model in self._models.values():
            model.roll(gap=gap)
