"""The penguin classifier as a server assembles it, behind one tier of cache or none, for the benchmarks of tiers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.process import PENGUINS
from mlserve.assemble import Assembler
from mlserve.backends.onnx import OnnxBackend
from mlserve.cache.datastores import Datastores
from mlserve.cache.external import External
from mlserve.config.load import parse_config
from mlserve.contracts.backend import LoadOptions
from mlserve.observe.metrics import Metrics
from mlserve.serving.interface import build_interface
from mlserve.serving.loader import Version
from mlserve.types import Context, Predict, Rows, Serving
from tests.support.aerospike_double import aerospike_double
from tests.support.redis_server import RedisServer, redis_server

MEMORY: Final = "memory"
LMDB: Final = "LMDB"
REDIS: Final = "Redis"
DOUBLE: Final = "Aerospike's double"
"""Our own stand-in, which is written in Python: it shows what our side costs, not what a server of Aerospike can do."""
TIERS: Final = (MEMORY, LMDB, REDIS, DOUBLE)

PATIENCE_S: Final = 10.0
ROWS_PER_FILL: Final = 1_000
FILLS_PER_FLUSH: Final = 10
"""The chain keeps twice as many entries in line for writing, and drops the oldest of more."""
ISLANDS: Final = ("Biscoe", "Dream", "Torgersen")


@dataclass(frozen=True, slots=True)
class Classifier:
    """One version behind its own chain. ``external`` holds its tier, if that is not memory."""

    predict: Predict
    external: External

    async def ask(self, rows: Rows) -> str:
        """What ``Cache-Status`` says of this request."""
        context = Context(time.monotonic() + PATIENCE_S)
        await self.predict(rows, context)
        return context.cache_status

    async def fill(self, rows: Rows) -> None:
        """Have the answers to ``rows`` in the tier."""
        for number, start in enumerate(range(0, rows.count, ROWS_PER_FILL), start=1):
            await self.ask(rows.take(slice(start, start + ROWS_PER_FILL)))
            if number % FILLS_PER_FLUSH == 0:
                await self.written()
        await self.written()

    async def written(self) -> None:
        """Returns when all answers so far are in the tier. Raises :class:`RuntimeError` if that takes too long."""
        left = await self.external.flush(PATIENCE_S)
        if left:
            raise RuntimeError(f"{left} entries are not written after {PATIENCE_S:g} s")


@contextmanager
def redis() -> Iterator[RedisServer]:
    """A server of our own, which keeps nothing on disk."""
    with redis_server() as server:
        yield server


@contextmanager
def places(size_mb: int, server: RedisServer) -> Iterator[Mapping[str, str]]:
    """For each of :data:`TIERS`, the configuration of a datastore that has no other, empty but for Redis."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        double = stack.enter_context(aerospike_double())
        yield {
            MEMORY: f"Datastores: [{{ID: d, Cache: {{SizeMB: {size_mb}}}}}]",
            LMDB: _external(f"lmdb:{folder}?size_mb={size_mb}"),
            REDIS: _external(server.url),
            DOUBLE: _external(f"{double.url}/test"),
        }


@asynccontextmanager
async def classifier(datastore: str | None) -> AsyncIterator[Classifier]:
    """Loaded and assembled by a configuration with this ``datastore``; without any, it is not cached."""
    named = ", DataStore: d" if datastore else ""
    text = f"Models: [{{ID: penguins, URL: '{PENGUINS}'{named}}}]\n{datastore or ''}\n"
    (config,) = parse_config(text, place="benchmark.yaml").config.wanted_models()
    model = OnnxBackend().load(PENGUINS, LoadOptions())
    interface = build_interface(model.signature, config, Serving.ROWS, model.lookups, None)
    external = External()
    assemble = Assembler(Metrics(), Datastores(external=external))
    assembled = await assemble(Version(config, model, interface, "0123456789abcdef" * 4, None))
    try:
        await external.tried(PATIENCE_S)
        for connection in external.connections:
            if connection.down is not None:
                raise RuntimeError(f"{datastore}: {connection.down}")
        yield Classifier(assembled.predict, external)
    finally:
        await assembled.close()


def numbered(numbers: npt.NDArray[np.int64]) -> Rows:
    """The rows of these ``numbers``, as the protocols decode them: each number has a key of its own."""
    island, sex = np.empty(len(numbers), object), np.empty(len(numbers), object)
    island[:] = np.array(ISLANDS)[numbers % 3].tolist()
    sex[:] = np.array(("female", "male"))[numbers % 2].tolist()
    columns = {
        "island": island,
        "sex": sex,
        "bill_length_mm": (32 + numbers % 280 / 10).astype(np.float32),
        "bill_depth_mm": (13 + numbers % 90 / 10).astype(np.float32),
        "flipper_length_mm": (170 + numbers % 62).astype(np.float32),
        "body_mass_g": numbers.astype(np.float32),
    }
    return Rows(columns, len(numbers))


def _external(url: str) -> str:
    # The usual 25 ms would be too short for a thousand rows from the double while others use the machine.
    timeout = f"Timeout: {{Connection: {PATIENCE_S * 1000:.0f}, Total: {PATIENCE_S * 1000:.0f}}}"
    return f"Datastores: [{{ID: d, Connection: c}}]\nConnections: [{{ID: c, URL: '{url}', {timeout}}}]"
