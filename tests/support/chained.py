"""Chains over a memory, with every lookup written down."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from mlserve.cache.chain import CacheChain
from mlserve.stores.memory import MemoryStore
from mlserve.types import CacheUse, Context, Predict
from tests.support.deployments import interface, rows

GENERATION = "0123456789abcdef" * 4


class Chained:
    """A :class:`CacheChain` and what it says of itself."""

    def __init__(self, predict: Predict, **settings: Any) -> None:
        memory: MemoryStore | None = settings.pop("memory", None)
        self.memory = MemoryStore(8 << 20) if memory is None else memory  # an empty one is false
        self.lookups: Counter[str] = Counter()
        self.joined = 0
        self.chain = CacheChain(
            predict,
            interface=settings.pop("face", None) or interface(),
            generation=settings.pop("generation", GENERATION),
            memory=self.memory,
            ttl_s=settings.pop("ttl_s", 900.0),
            observe=self._observe,
            observe_joined=self._observe_joined,
            **settings,
        )

    def _observe(self, tier: str, result: str, count: int) -> None:
        assert tier == "memory"
        assert count > 0
        self.lookups[result] += count

    def _observe_joined(self, count: int) -> None:
        self.joined += count

    async def eval(self, *xs: float, cache: CacheUse = CacheUse.NORMAL, seconds: float = 30.0) -> list[float]:
        """The values of ``y``."""
        answer, _ = await self.ask(*xs, cache=cache, seconds=seconds)
        return answer

    async def ask(
        self, *xs: float, cache: CacheUse = CacheUse.NORMAL, seconds: float = 30.0
    ) -> tuple[list[float], str]:
        """The values of ``y``, and what Cache-Status would say."""
        context = Context(asyncio.get_running_loop().time() + seconds, "id", cache)
        answer = await self.chain(rows(x=list(xs)), context)
        assert answer.count == len(xs)
        return [float(y) for y in answer.columns["y"]], context.cache_status

    def start(self, *xs: float, cache: CacheUse = CacheUse.NORMAL, seconds: float = 30.0) -> asyncio.Task[list[float]]:
        return asyncio.create_task(self.eval(*xs, cache=cache, seconds=seconds))

    def key(self, x: float) -> bytes:
        return self.chain.keys(rows(x=[x]))[0]
