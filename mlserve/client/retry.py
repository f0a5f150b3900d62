"""When to ask again, and how long to wait before: a pure decision."""

from __future__ import annotations

from typing import Final

from mlserve.errors import ClientError, Interrupted, RemoteError

WORTH_ANOTHER_TRY: Final = frozenset((429, 503))
"""Overloaded and not ready: the only statuses that say "later"."""
MOST_INTERRUPTIONS: Final = 3
"""A connection may end because the server closed it just as it was used again, or restarts; not over and over."""
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0
SPREAD: Final = 0.25
"""How much longer a pause may be, so that those turned away together do not come back together."""


def pause_before_retry(error: ClientError, attempt: int, chance: float) -> float | None:
    """Seconds to wait after the ``attempt``-th try (from 0) failed with ``error``; ``None``: trying again is no use.

    ``chance`` is a random number from 0 to 1. ``Retry-After`` is the least; without one, pauses double.
    """
    least = 0.0
    if isinstance(error, RemoteError) and error.status in WORTH_ANOTHER_TRY:
        least = error.retry_after_s or 0.0
    elif not isinstance(error, Interrupted) or attempt + 1 >= MOST_INTERRUPTIONS:
        return None
    doubling: float = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(attempt, 10))
    return max(least, doubling) * (1 + SPREAD * chance)
