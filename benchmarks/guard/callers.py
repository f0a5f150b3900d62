"""Clients of one path: they ask until the server knows their rows as well as it ever will, and then to be measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from benchmarks.guard.house import House
from benchmarks.guard.paths import PATHS, STORED_ROWS, Path
from benchmarks.guard.wire import Wire

_WARM: Final = 5
"""Requests once all is stored: answers get recorded, and the interpreter specialises its code."""


class Callers:
    """As many connections as ``path`` says."""

    def __init__(self, path: Path, wires: Iterable[Wire]) -> None:
        self.path = path
        self._wires = tuple(wires)

    async def ask(self) -> None:
        """Once, all in one step of the loop; returns when all have their answers."""
        request = self.path.request
        for wire in self._wires:
            wire.send(request)
        for wire in self._wires:
            await wire.answer()

    async def check(self) -> None:
        """Ask once, and raise :class:`RuntimeError` unless every answer comes by the path."""
        for wire in self._wires:
            self.path.check(await wire.ask(self.path.request))


async def settled(house: House) -> list[Callers]:
    """Callers of every path, when nothing is left to compute or to write but what belongs to the path."""
    everyone = [Callers(path, [house.wire() for _ in range(path.callers)]) for path in PATHS]
    for callers in everyone:
        await callers.ask()
    await house.written(STORED_ROWS)
    for callers in everyone:
        for _ in range(_WARM):
            await callers.ask()
        await callers.check()
    return everyone
