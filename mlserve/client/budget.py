"""How many tries again the calls of a client may cost its servers, however many of them fail."""

from __future__ import annotations

from math import inf
from typing import Final

SHARE: Final = 0.2
RESERVE: Final = 100.0
"""Tries again that are free at first: a host that dies takes with it all that it was asked, which is no storm yet."""


class RetryBudget:
    """Each call pays in ``share`` of a try, up to ``reserve`` of them; ``None`` sets no bound."""

    def __init__(self, share: float | None = SHARE, reserve: float = RESERVE) -> None:
        self._share = inf if share is None else share
        self._reserve = inf if share is None else reserve
        self._left = self._reserve

    def called(self) -> None:
        """A call began."""
        self._left = min(self._reserve, self._left + self._share)

    def take(self) -> bool:
        """True if one more try is paid for, which it then is."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
