"""Processes that share a store: each a chain of its own, memory first, then L1."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Self

from mlserve.cache.chain import CacheChain
from mlserve.cache.native import NativeLayout
from mlserve.cache.outer import OuterTiers
from mlserve.cache.tier import Tier
from mlserve.cache.used_tier import TierUse
from mlserve.stores.memory import MemoryStore
from mlserve.types import CacheUse, Context, Rows
from tests.support import virtual_time
from tests.support.chained import GENERATION
from tests.support.deployments import interface, rows
from tests.support.fake_store import FakeStore, connected
from tests.support.held_predict import double

LIFE_S = 100.0


class Model:
    """Doubles, in no time or in ``seconds``."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.runs: list[list[float]] = []

    async def __call__(self, asked: Rows, context: Context) -> Rows:
        self.runs.append(asked.columns["x"].tolist())
        await asyncio.sleep(self.seconds)
        return double(asked)


class Replica:
    """Open it, close it. On a loop of virtual time."""

    def __init__(self, store: FakeStore, model: Model | None = None, *, memory: bool = True, **settings: Any) -> None:
        self.store = store
        self.model = model or Model()
        self.memory = MemoryStore(8 << 20, clock=virtual_time.clock) if memory else None
        self.lookups: Counter[tuple[str, str]] = Counter()
        self._read_only = settings.pop("read_only", False)
        self._settings: dict[str, Any] = {"generation": GENERATION, **settings}

    async def __aenter__(self) -> Self:
        self.connection = connected(self.store)
        await self.connection.up.wait()
        self.tier: Tier[bytes, bytes] = Tier(self.connection, lambda store: store.entries(None, None), label="shared")
        outer = OuterTiers(
            [TierUse("l1", self.tier, NativeLayout(), LIFE_S, self._read_only)],
            observe=self._observe,
            clock=virtual_time.clock,
            since=virtual_time.clock,
        )
        self.chain = CacheChain(
            self.model,
            interface=interface(),
            memory=self.memory,
            ttl_s=LIFE_S,
            outer=outer,
            observe=self._observe,
            clock=virtual_time.clock,
            **self._settings,
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.chain.close()
        await self.tier.close()
        await self.connection.close()

    def _observe(self, tier: str, result: str, count: int) -> None:
        assert count > 0
        self.lookups[tier, result] += count

    def looked_up(self, tier: str) -> int:
        """Rows, whatever came of them."""
        return sum(count for (where, _), count in self.lookups.items() if where == tier)

    async def ask(
        self, *xs: float, cache: CacheUse = CacheUse.NORMAL, seconds: float = 3600.0
    ) -> tuple[list[float], str]:
        """The values of ``y``, and what Cache-Status would say."""
        context = Context(virtual_time.clock() + seconds, "id", cache)
        answer = await self.chain(rows(x=list(xs)), context)
        return answer.columns["y"].tolist(), context.cache_status

    async def written(self) -> None:
        await self.tier.writes.flush(5.0)
