"""How many models may load at once, and what becomes of a load that does not end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

logger = logging.getLogger(__name__)

LONG_S: Final = 300.0


class Turns:
    """Hands out turns to load: ``at_once`` of them, to whoever asks first.

    A thread inside a runtime or in user code cannot be stopped. So a load that takes longer than ``long_s`` keeps going
    and loses its turn: one that hangs is told of in the log, and cannot keep the other models from loading.
    """

    def __init__(self, at_once: int, *, long_s: float = LONG_S) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._long_s = long_s

    @asynccontextmanager
    async def take(self, model_id: str) -> AsyncIterator[None]:
        """Waits for a turn, which lasts as long as the block."""
        await self._free.acquire()
        turn = _Turn(self._free)
        timer = asyncio.get_running_loop().call_later(self._long_s, self._take_away, turn, model_id)
        try:
            yield
        finally:
            timer.cancel()
            turn.end()

    def _take_away(self, turn: _Turn, model_id: str) -> None:
        logger.warning("%s has been loading for %.0f s; others no longer wait for it", model_id, self._long_s)
        turn.end()


class _Turn:
    """One turn, given back once."""

    def __init__(self, free: asyncio.Semaphore) -> None:
        self._free: asyncio.Semaphore | None = free

    def end(self) -> None:
        free, self._free = self._free, None
        if free is not None:
            free.release()
