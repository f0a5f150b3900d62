"""The end of tasks that may be inside a store: told to stop, awaited, and left behind if they do not let go.

A stop must end, whatever a store's client does with a cancellation; and a task that is merely slow must not be lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import Any, Final

logger = logging.getLogger(__name__)

LET_GO_S: Final = 2.0
"""How long a store may take to let go of calls that are cancelled."""


async def end(tasks: Collection[asyncio.Task[Any]], what: str) -> None:
    """Cancels ``tasks`` and returns when they have ended, or after :data:`LET_GO_S` with a line in the log."""
    if not tasks:
        return
    for task in tasks:
        task.cancel()
    _, late = await asyncio.wait(tasks, timeout=LET_GO_S)
    if late:
        logger.warning("%s: calls do not let go after %g s; ending without them", what, LET_GO_S)
