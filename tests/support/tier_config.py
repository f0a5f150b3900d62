"""Configurations of models that share one file and each have a connection of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

READ_TIMEOUT_MS: Final = 100
"""Four times what a connection has by itself: a busy machine must not pass for a bad day."""
PATIENT_MS: Final = 5000
"""For tests in which no read may end by its time."""


def one_each(urls: Mapping[str, str], *, timeout_ms: int, datastore: str = "", url: str = "m.onnx") -> str:
    """A model, a datastore with nothing but L1, and a connection for each name; ``datastore`` adds to all of them."""
    models = ", ".join(f"{{ID: {name}, URL: {url}, DataStore: {name}}}" for name in urls)
    stores = ", ".join(f"{{ID: {name}, Connection: {name}{datastore}}}" for name in urls)
    timeout = f"Timeout: {{Connection: 2000, Total: {timeout_ms}}}"
    connections = ", ".join(f"{{ID: {name}, URL: '{url}', {timeout}}}" for name, url in urls.items())
    return f"Models: [{models}]\nDatastores: [{stores}]\nConnections: [{connections}]\n"
