"""What operators and load balancers ask: liveness, readiness, health, configuration, metrics, the page at ``/``.

To add a route, add a row to the table in :class:`Admin`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

import orjson
from prometheus_client.exposition import choose_encoder

from mlserve.config.load import LoadedConfig
from mlserve.config.redact import public_view
from mlserve.errors import Forbidden, UnknownRoute, WrongMethod
from mlserve.observe.line import one_line
from mlserve.observe.metrics import Metrics
from mlserve.serving.manager import Manager
from mlserve.transport.message import HttpRequest, HttpResponse
from mlserve.transport.page.assets import PAGE
from mlserve.transport.page.models import models_json
from mlserve.transport.subnet import Subnets

READ: Final = ("GET", "HEAD")


class Access(Enum):
    """Who may ask."""

    ANYONE = "anyone"
    ALLOWED = "the peers in AllowedSubnet, anyone if it is empty"


@dataclass(frozen=True, slots=True)
class Route:
    """One path: its answer, and who may have it."""

    answer: Callable[[HttpRequest], HttpResponse]
    access: Access


class Admin:
    """Answers the fixed paths; ``draining`` is set at a stop."""

    def __init__(self, manager: Manager, metrics: Metrics, config: LoadedConfig) -> None:
        self.draining = False
        self._manager = manager
        self._metrics = metrics
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
        }

    def configure(self, config: LoadedConfig) -> None:
        """Show, and guard by, another configuration."""
        self._config = config
        self._allowed = Subnets(config.config.allowed_subnet)

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        """Raises ``UnknownRoute``, ``WrongMethod`` or ``Forbidden``."""
        route = self._routes.get(request.path)
        if route is None:
            raise UnknownRoute("nothing is served here; GET / lists the models and their links")
        if route.access is Access.ALLOWED and self._config.config.allowed_subnet and request.peer not in self._allowed:
            raise Forbidden("this address is not in AllowedSubnet")
        if request.method not in READ:
            raise WrongMethod(f"takes {' and '.join(READ)}", allow=READ)
        return route.answer(request)

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

    def _prometheus(self, request: HttpRequest) -> HttpResponse:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return HttpResponse(200, encode(self._metrics.registry), content_type)

    def _models(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, models_json(self._manager.statuses, self._metrics.models, request.query))
