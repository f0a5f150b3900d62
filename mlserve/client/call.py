"""What is told of each call to those who listen: metrics, logs, traces."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """One call, at its end. ``seconds`` is all of it.

    ``sources`` counts the rows that came from ``local``, ``l1``, ``l2`` and ``server``, and is empty for a failure.
    ``host`` is the server that answered, without secrets, ``None`` if none was needed; ``tries`` is how many requests
    that took. ``error`` is ``None``, or the name of the class that was raised.
    """

    model: str
    seconds: float
    sources: Mapping[str, int]
    host: str | None = None
    tries: int = 0
    error: str | None = None


Hook = Callable[[Call], object]
"""Called on the event loop; it must not block. What it raises is logged, and harms no call."""


def tell(hooks: Sequence[Hook], call: Call) -> None:
    """Every hook hears of ``call``."""
    for hook in hooks:
        try:
            hook(call)
        except Exception:
            logger.exception("a hook of the client failed")
