"""How long a process may take to stop: what supervisors have to allow for."""

from __future__ import annotations

from mlserve.config.schema import EndpointConfig
from mlserve.daemon.models import DRAIN_GRACE_S
from mlserve.sources.watch import _CLOSE_S
from mlserve.transport.connection import LINGER_S


def longest_stop_s(endpoint: EndpointConfig) -> float:
    """The steps of a stop in order, each at its bound: a client that never reads and a model that never ends."""
    shutdown_s = endpoint.shutdown_timeout_ms.total_seconds()
    port_s = endpoint.shutdown_wait_ms.total_seconds() + shutdown_s + 3 * LINGER_S
    models_s = endpoint.request_timeout.total_seconds() + DRAIN_GRACE_S + shutdown_s
    return port_s + models_s + _CLOSE_S
