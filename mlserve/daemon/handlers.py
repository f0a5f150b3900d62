"""Who answers what comes in at the port: every request by a call, and memory's answers at the door."""

from __future__ import annotations

from collections.abc import Callable

from mlserve import registry
from mlserve.config.schema import EndpointConfig
from mlserve.observe.access import AccessLog
from mlserve.observe.metrics import Metrics
from mlserve.serving.events import Event, ModelRemoved
from mlserve.serving.manager import Manager
from mlserve.transport.access import Guard
from mlserve.transport.admin import Admin
from mlserve.transport.application import Application
from mlserve.transport.explain import ExplainHandler
from mlserve.transport.hits import Hits
from mlserve.transport.mly.meta import MetaHandler
from mlserve.transport.predict import PredictHandler, PredictLimits
from mlserve.transport.repeats import Repeats


def handlers(
    manager: Manager,
    metrics: Metrics,
    admin: Admin,
    guard: Guard,
    endpoint: EndpointConfig,
    repeats_room: Callable[[], int],
) -> tuple[Application, Hits]:
    """Both, listening to the manager. ``repeats_room`` tells how many bytes of requests the door may know."""
    limits = PredictLimits(
        timeout_s=endpoint.request_timeout.total_seconds(),
        max_rows=endpoint.max_rows,
        client_cache_control=endpoint.client_cache_control,
        evaluations=endpoint.max_evaluator_concurrency,
        evaluation_wait_s=endpoint.evaluator_wait.total_seconds(),
    )
    predict = PredictHandler(manager, metrics, limits)

    def forget_removed(event: Event) -> None:
        if isinstance(event, ModelRemoved):
            predict.forget(event.model_id)

    protocols = [registry.resolve("protocols", name)() for name in registry.names("protocols")]
    access_log = AccessLog(endpoint.access_log, endpoint.access_log_sample)
    explain = ExplainHandler(manager, registry.resolve("protocols", "eval")(), guard)
    meta = MetaHandler(manager)
    hits = Hits(manager, metrics, protocols, access_log, Repeats(repeats_room))
    for listener in (forget_removed, meta.on_event, hits.on_event):
        manager.listen(listener)
    return Application(predict, protocols, explain, meta, admin, access_log), hits
