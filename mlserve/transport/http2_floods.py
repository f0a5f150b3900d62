"""How much a client may ask of a connection without asking for anything: pure counting.

HTTP/2 has frames that cost the server more than the client, and that no limit on requests or bytes holds back: resets
of streams that have just begun (CVE-2023-44487) or that the client makes us reset (CVE-2025-8671), pings, settings,
empty frames and tiny ones, window updates, priorities. Each spends from an allowance; useful work earns it back, and so
does time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mlserve.transport.http2_frames import Code, ConnectionFault

RESETS: Final = 256
"""Streams reset at once: as many as may be open. Clients with tight deadlines do this, attackers do nothing else."""
RESETS_PER_SECOND: Final = 32
CHATTER: Final = 1024
"""Frames at once that carry nothing: clients on fast lines send thousands of window updates, but read answers too."""
CHATTER_PER_SECOND: Final = 128
CHATTER_PER_ANSWER: Final = 4
BYTES_PER_CHATTER: Final = 512
"""Of an answer: so often may the client tell us, on its stream and on the connection, that it has read on."""


class Allowance:
    """``most`` at once, ``per_second`` more as time goes, and what is earned; never more than ``most``."""

    __slots__ = ("_at", "_clock", "_left", "_most", "_per_second")

    def __init__(self, most: int, per_second: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._per_second = per_second
        self._clock = clock
        self._left = float(most)
        self._at = clock()

    def spend(self, amount: int) -> bool:
        """False if there was not so much left."""
        if self._left < amount:
            now = self._clock()
            self.earn((now - self._at) * self._per_second)
            self._at = now
        self._left -= amount
        return self._left >= 0

    def earn(self, amount: float) -> None:
        self._left = min(self._most, self._left + amount)


class Floods:
    """What one connection has left of both allowances. Raises :class:`ConnectionFault` when one is used up."""

    __slots__ = ("_chatter", "_resets")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._resets = Allowance(RESETS, RESETS_PER_SECOND, clock)
        self._chatter = Allowance(CHATTER, CHATTER_PER_SECOND, clock)

    def reset(self) -> None:
        """A stream ended without an answer, and it was the client's doing."""
        if not self._resets.spend(1):
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many streams were reset or refused")

    def chatter(self, amount: int = 1) -> None:
        """A frame came that carries nothing."""
        if not self._chatter.spend(amount):
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many frames that ask for nothing")

    def answered(self, size: int) -> None:
        """An answer of ``size`` bytes was sent whole."""
        self._resets.earn(1)
        self._chatter.earn(CHATTER_PER_ANSWER + size / BYTES_PER_CHATTER)
