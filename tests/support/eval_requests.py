"""Requests as a carrier hands them over, and a manager whose models are made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import orjson
from multidict import CIMultiDict

from mlserve.config.load import LoadedConfig
from mlserve.config.schema import Config
from mlserve.errors import NotReady, UnknownModel
from mlserve.serving.deployment import Deployment
from mlserve.serving.manager import Status
from mlserve.transport.message import HttpRequest, HttpResponse

EVAL = "/v1/api/model/m/eval"


def request(
    path: str = EVAL,
    query: str = "",
    *,
    method: str | None = None,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    peer: str = "127.0.0.1",
    age_s: float = 0.0,
) -> HttpRequest:
    """One request whose first byte came ``age_s`` ago; a ``body`` that is not bytes goes as JSON."""
    raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    verb = method or ("POST" if raw else "GET")
    return HttpRequest(verb, path, query, CIMultiDict(headers or {}), raw, peer, monotonic() - age_s)


def said(response: HttpResponse) -> Any:
    """The body of an answer in JSON."""
    return orjson.loads(response.body)


def loaded_config(config: Config | None = None) -> LoadedConfig:
    """A configuration that was never text."""
    return LoadedConfig(config or Config(), url="config.yaml", base="", notices=(), digest="")


@dataclass
class FakeManager:
    """What transports use of :class:`mlserve.serving.manager.Manager`; ``None`` is a model that does not serve."""

    deployments: dict[str, Deployment | None] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    ready: bool = True

    def acquire(self, model_id: str) -> Deployment:
        if model_id not in self.deployments:
            raise UnknownModel("no model of that id is configured")
        deployment = self.deployments[model_id]
        if deployment is None:
            raise NotReady(f"model {model_id} does not serve yet: it is loading")
        return deployment

    def __contains__(self, model_id: object) -> bool:
        return model_id in self.deployments

    @property
    def statuses(self) -> list[Status]:
        return [Status(name, made, self.errors.get(name), True) for name, made in self.deployments.items()]

    @property
    def not_serving(self) -> dict[str, str]:
        return {status.model_id: status.reason for status in self.statuses if status.reason is not None}
