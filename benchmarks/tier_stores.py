"""The stores that the benchmarks of tiers ask, each empty and of our own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final

from tests.support.aerospike_double import aerospike_double
from tests.support.redis_server import RedisServer

MEMORY: Final = "memory"
LMDB: Final = "LMDB"
REDIS: Final = "Redis"
DOUBLE: Final = "Aerospike's double"
"""Our own stand-in, which is written in Python: it shows what our side costs, not what a server of Aerospike can do."""
TIERS: Final = (MEMORY, LMDB, REDIS, DOUBLE)

PATIENCE_S: Final = 10.0
"""The usual 25 ms would be too short for a thousand rows from the double while others use the machine."""


@contextmanager
def datastores(size_mb: int, server: RedisServer) -> Iterator[Mapping[str, str]]:
    """For each of :data:`TIERS`, the configuration of a datastore ``d`` that has no other."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        double = stack.enter_context(aerospike_double())
        yield {
            MEMORY: f"Datastores: [{{ID: d, Cache: {{SizeMB: {size_mb}}}}}]",
            LMDB: _external(f"lmdb:{folder}?size_mb={size_mb}"),
            REDIS: _external(server.url),
            DOUBLE: _external(f"{double.url}/test"),
        }


def _external(url: str) -> str:
    timeout = f"Timeout: {{Connection: {PATIENCE_S * 1000:.0f}, Total: {PATIENCE_S * 1000:.0f}}}"
    return f"Datastores: [{{ID: d, Connection: c}}]\nConnections: [{{ID: c, URL: '{url}', {timeout}}}]"
