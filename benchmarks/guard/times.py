"""The processor time of a request beside that of a bare server, in turns of a few milliseconds.

What a neighbour takes of caches and of the processor's speed it takes of both, and what is left of it is in some turns
and not in others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import process_time
from typing import Final

from benchmarks.guard.bare import BareServer
from benchmarks.guard.callers import Callers
from benchmarks.guard.wire import Wire

ROUNDS: Final = 40
_UNDISTURBED: Final = 4
"""Of the rounds, by their times, the one that counts: the quickest may have had luck, and most have had neighbours."""


class Beside:
    """A bare server, and one connection to it. On a running loop. ``clock`` tells the processor time in seconds."""

    def __init__(
        self,
        connect: Callable[[], asyncio.BaseProtocol] | None = None,
        clock: Callable[[], float] = process_time,
    ) -> None:
        self._wire = Wire(asyncio.get_running_loop(), connect or BareServer().connect)
        self._clock = clock

    async def ratio(self, callers: Callers) -> float:
        """How many answers of the bare server take as long as one of ours."""
        path = callers.path
        answers = path.repeats * path.callers
        ours, bare = [], []
        for _ in range(ROUNDS):
            start = self._clock()
            for _ in range(path.repeats):
                await callers.ask()
            middle = self._clock()
            for _ in range(answers):
                await self._wire.ask(path.beside)
            ours.append(middle - start)
            bare.append(self._clock() - middle)
        return sorted(ours)[_UNDISTURBED] / sorted(bare)[_UNDISTURBED]
