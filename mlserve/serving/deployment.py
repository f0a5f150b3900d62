"""One loaded version of one model, with its own ``Predict``, and the count of callers inside it.

The servable publishes a deployment by one assignment and never touches it again until it drains. Whoever answers a
request enters it (``with deployment:``) in the same step of the loop in which it was looked up, so a version that is
replaced keeps every caller it had and gets no new one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Self

from mlserve.config.schema import ModelConfig
from mlserve.contracts.batching import BatchState
from mlserve.contracts.cache_view import CacheView
from mlserve.errors import MlserveError
from mlserve.promise import Promise, promised
from mlserve.types import Context, Interface, Predict, Rows, Signature

logger = logging.getLogger(__name__)


class State(StrEnum):
    """The life of a deployment; it only moves forward."""

    SERVING = "serving"
    DRAINING = "draining"
    CLOSED = "closed"


_NEXT = {State.SERVING: State.DRAINING, State.DRAINING: State.CLOSED}


@dataclass(frozen=True, slots=True)
class Origin:
    """What a deployment was made of. A servable whose origin has not changed has nothing to load."""

    config: ModelConfig
    digests: tuple[tuple[str, str], ...]
    """(role, SHA-256) of the artefact and of each source file beside it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What operators are told about a deployment: pages, metrics, ``check``."""

    backend: str
    runtime: str
    signature: Signature
    size_bytes: int
    load_seconds: float
    loaded_at: float
    """Unix time."""
    warnings: tuple[str, ...] = field(default=())
    deterministic: bool = True
    """False if equal rows may get different answers, which must then not be cached."""


class Deployment:
    """A version that can answer. Made by the loader, published by the servable, closed by the servable."""

    def __init__(
        self,
        *,
        model_id: str,
        generation: str,
        origin: Origin,
        interface: Interface,
        predict: Predict,
        cache: CacheView,
        facts: Facts,
        close: Callable[[], Awaitable[None]],
        batching: Callable[[], BatchState] | None = None,
    ) -> None:
        self.model_id = model_id
        self.generation = generation
        self.origin = origin
        self.interface = interface
        self.predict = predict
        self.cache = cache
        self.batching = batching
        """How the batcher is right now; ``None`` if rows are not batched."""
        self.facts = facts
        self.state = State.SERVING
        self.withdrawn = False
        """True from the moment that requests get another version, or none; who remembers it must ask."""
        self._close = close
        self._callers = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def callers(self) -> int:
        """Requests inside right now."""
        return self._callers

    def __enter__(self) -> Self:
        if self.state is not State.SERVING:
            raise MlserveError(f"deployment of {self.model_id} is {self.state}: look it up again")
        self._callers += 1
        self._empty.clear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._callers -= 1
        if not self._callers:
            self._empty.set()

    def begin(self, rows: Rows, context: Context, ended: Callable[[Promise], None]) -> Promise:
        """``predict`` for a caller without a task, who is inside until the promise is kept and ``ended`` has returned.

        ``ended`` must not raise. Raises what entering raises.
        """
        self.__enter__()

        def leave(promise: Promise) -> None:
            ended(promise)
            self.__exit__(None, None, None)

        promise = promised(lambda: self.predict(rows, context), name=f"answer of {self.model_id}")
        promise.then(leave)
        return promise

    async def close(self, drain_s: float) -> None:
        """Drain, then free the model. Callers get ``drain_s`` seconds; their own deadlines are shorter than that.

        The model itself is freed only when its last run has ended: to free it under a run would end the process.
        """
        self._move(State.DRAINING)
        try:
            async with asyncio.timeout(drain_s):
                await self._empty.wait()
        except TimeoutError:
            logger.warning("%s: %d callers still inside after %.0f s; closing", self.model_id, self._callers, drain_s)
        try:
            await self._close()
        finally:
            self._move(State.CLOSED)

    def _move(self, state: State) -> None:
        if _NEXT.get(self.state) is not state:
            raise MlserveError(f"deployment of {self.model_id} cannot go from {self.state} to {state}")
        self.state = state
