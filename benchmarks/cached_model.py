"""A model as a server assembles it, behind one tier of cache or none, for the benchmarks of tiers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from benchmarks.numbered_rows import Kind
from benchmarks.tier_stores import PATIENCE_S
from mlserve.assemble import Assembler
from mlserve.cache.datastores import Datastores
from mlserve.cache.external import External
from mlserve.config.load import parse_config
from mlserve.daemon.heap import freeze_heap
from mlserve.observe.metrics import Metrics
from mlserve.serving.interface import build_interface
from mlserve.serving.loader import Version
from mlserve.types import Context, Predict, Rows, Serving

CALLERS: Final = 32
ROWS_PER_FILL: Final = 1_000
FILLS_PER_FLUSH: Final = 10
"""The chain keeps twice as many entries in line for writing, and drops the oldest of more."""


@dataclass(frozen=True, slots=True)
class CachedModel:
    """One version behind its own chain. ``external`` holds its tier, if that is not memory."""

    predict: Predict
    external: External

    async def ask(self, rows: Rows) -> str:
        """What ``Cache-Status`` says of this request."""
        context = Context(time.monotonic() + PATIENCE_S)
        await self.predict(rows, context)
        return context.cache_status

    async def ask_all(self, requests: Iterable[Rows]) -> set[str]:
        """What it says of these, asked by :data:`CALLERS` at once."""
        left = iter(requests)
        said: set[str] = set()

        async def caller() -> None:
            for rows in left:
                said.add((await self.ask(rows)).partition("; ttl")[0])

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        return said

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


@asynccontextmanager
async def assembled(kind: Kind, datastore: str | None) -> AsyncIterator[CachedModel]:
    """Loaded and assembled by a configuration with this ``datastore``; without any, it is not cached."""
    named = ", DataStore: d" if datastore else ""
    text = f"Models: [{{ID: m, URL: m.onnx{named}}}]\n{datastore or ''}\n"
    (config,) = parse_config(text, place="benchmark.yaml").config.wanted_models()
    model = kind.load()
    interface = build_interface(model.signature, config, Serving.ROWS, model.lookups, None)
    external = External()
    assemble = Assembler(Metrics(), Datastores(external=external))
    made = await assemble(Version(config, model, interface, "0123456789abcdef" * 4, None))
    freeze_heap()
    try:
        await external.tried(PATIENCE_S)
        for connection in external.connections:
            if connection.down is not None:
                raise RuntimeError(f"{datastore}: {connection.down}")
        yield CachedModel(made.predict, external)
    finally:
        await made.close()
