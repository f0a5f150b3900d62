"""What operators and load balancers ask: liveness, readiness, health, configuration, metrics, the page at ``/``.

To add a route, add a row to a table in :class:`Admin`: one has whole paths, the other what lies below a beginning.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import orjson
from prometheus_client.exposition import choose_encoder

from mlserve.config.load import LoadedConfig
from mlserve.config.redact import public_view
from mlserve.errors import UnknownRoute, WrongMethod
from mlserve.observe.line import one_line
from mlserve.observe.metrics import Metrics
from mlserve.observe.metrics_page import metrics_page
from mlserve.serving.manager import Manager
from mlserve.transport.access import Access, Guard
from mlserve.transport.debug import Debug
from mlserve.transport.gmetric import COUNTER, OPERATION, Gmetric
from mlserve.transport.message import HttpRequest, HttpResponse
from mlserve.transport.page.assets import PAGE
from mlserve.transport.page.models import models_json

READ: Final = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Route:
    """One path: its answer, at once or awaited, and who may have it."""

    answer: Callable[[HttpRequest], HttpResponse | Awaitable[HttpResponse]]
    access: Access


class Admin:
    """Answers the fixed paths; ``draining`` is set at a stop."""

    def __init__(self, manager: Manager, metrics: Metrics, config: LoadedConfig, guard: Guard) -> None:
        self.draining = False
        self._guard = guard
        self._manager = manager
        self._metrics = metrics
        self._gmetric = gmetric = Gmetric(metrics, config.config)
        debug = Debug(
            cpu=config.config.enable_cpu_prof,
            memory=config.config.enable_mem_prof,
            datastores=lambda: metrics.datastores,
        )
        self.configure(config)
        self._routes = {
            **{path: Route(asset, Access.ANYONE) for path, asset in PAGE.items()},
            "/healthz": Route(self._alive, Access.ANYONE),
            "/readyz": Route(self._ready, Access.ANYONE),
            "/metrics": Route(self._prometheus, Access.ALLOWED),
            "/v1/prometheus": Route(self._prometheus, Access.ALLOWED),
            "/v1/api/health": Route(self._health, Access.ALLOWED),
            "/v1/api/models": Route(self._models, Access.ALLOWED),
            "/v1/api/config": Route(self._config_view, Access.ALLOWED),
            "/v1/api/config/": Route(self._config_view, Access.ALLOWED),
            "/v1/api/metric/operations": Route(gmetric.operations, Access.ALLOWED),
            "/v1/api/metric/counters": Route(gmetric.counters, Access.ALLOWED),
            "/v1/api/debug/memprof": Route(debug.memory, Access.LOOPBACK),
            "/v1/api/debug/pprof/profile": Route(debug.profile, Access.LOOPBACK),
        }
        self._below = {
            OPERATION: Route(gmetric.operation, Access.ALLOWED),
            COUNTER: Route(gmetric.counter, Access.ALLOWED),
        }

    def configure(self, config: LoadedConfig) -> None:
        """Show another configuration."""
        self._config = config
        self._gmetric.configure(config.config)

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        """Raises ``UnknownRoute``, ``WrongMethod`` or ``Forbidden``."""
        route = self._routes.get(request.path) or self._above(request.path)
        if route is None:
            raise UnknownRoute("nothing is served here; GET / lists the models and their links")
        self._guard.check(request.peer, route.access)
        if request.method not in READ:
            raise WrongMethod(f"takes {' and '.join(READ)}", allow=READ)
        answer = route.answer(request)
        return answer if isinstance(answer, HttpResponse) else await answer

    def _above(self, path: str) -> Route | None:
        return next((route for start, route in self._below.items() if path.startswith(start)), None)

    def _alive(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, b'{"status":"ok"}')

    def _ready(self, request: HttpRequest) -> HttpResponse:
        ready = self._manager.ready and not self.draining
        reasons = {name: one_line(reason) for name, reason in self._manager.not_serving.items()}
        status = "draining" if self.draining else "ready" if ready else "not ready"
        body = orjson.dumps({"status": status, "models": reasons})
        return HttpResponse(200 if ready else 503, body, headers={} if ready else {"Retry-After": "1"})

    def _health(self, request: HttpRequest) -> HttpResponse:
        health = {
            status.model_id: int(status.deployment is not None and status.error is None)
            for status in self._manager.statuses
        }
        return HttpResponse(200, orjson.dumps(health, option=orjson.OPT_SORT_KEYS))

    def _config_view(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, orjson.dumps(public_view(self._config.config), default=str))

    async def _prometheus(self, request: HttpRequest) -> HttpResponse:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return HttpResponse(200, await metrics_page(self._metrics.registry.slices(), encode), content_type)

    def _models(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, models_json(self._manager.statuses, self._metrics.models, request.query))
