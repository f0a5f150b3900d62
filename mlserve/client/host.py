"""One server as the client sees it: what it is doing for us, and whether it may be asked.

A host is *up* until a connection to it is refused, or :data:`FAILURES` answers in a row do not arrive. From then on it
is asked only where no other is left, and a task of its own asks for ``/healthz``, ever more rarely, until anything
answers: then it is up again. A server that has no room, or does not serve the model now, says so itself: it *rests*,
for that model alone, for as long as it asked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from mlserve.client.address import without_secrets
from mlserve.client.transport import Transport
from mlserve.errors import Unreachable

logger = logging.getLogger(__name__)

FAILURES: Final = 3
"""Answers that do not arrive, in a row: one may be chance, or a request that no server survives."""
FIRST_PROBE_S: Final = 0.1
LONGEST_PROBE_S: Final = 5.0
PROBE_TIMEOUT_S: Final = 1.0
LONGEST_REST_S: Final = 5.0
"""Another host must not carry a model alone for longer than that on one word of this one."""
SPREAD: Final = 0.25
"""How much longer a pause may be, so that clients do not probe together."""


class Host:
    """Made and closed by :class:`~mlserve.client.remote.Remote`. On one event loop only.

    ``chance`` gives numbers from 0 to 1.
    """

    def __init__(self, url: str, transport: Transport, chance: Callable[[], float]) -> None:
        self.place: Final = without_secrets(url)
        self.transport: Final = transport
        self.outstanding = 0
        """Requests under way."""
        self._chance = chance
        self._failures = 0
        self._rests: dict[str, float] = {}
        self._probing: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        return self._probing is None

    def rests(self, path: str, now: float) -> bool:
        """True while it does not want to be asked for ``path``. ``now`` is the loop's time."""
        until = self._rests.get(path)
        if until is None:
            return False
        if now < until:
            return True
        del self._rests[path]
        return False

    def rest(self, path: str, now: float, seconds: float) -> None:
        """It asked to be left alone with ``path`` for ``seconds``."""
        self._rests = {its: until for its, until in self._rests.items() if now < until}
        self._rests[path] = now + min(seconds, LONGEST_REST_S)

    def answered(self) -> None:
        """Whatever it said, it is there."""
        self._failures = 0

    def failed(self, error: Exception) -> None:
        """It did not answer."""
        self._failures += 1
        if (isinstance(error, Unreachable) or self._failures >= FAILURES) and self._probing is None:
            logger.warning("%s is down: %s; others are asked while there are any", self.place, error)
            self._probing = asyncio.create_task(self._probe(), name=f"probe {self.place}")

    async def close(self) -> None:
        """Ends the probes, then the transport."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait([self._probing])
        await self.transport.close()

    async def _probe(self) -> None:
        pause_s = FIRST_PROBE_S
        while True:
            await asyncio.sleep(pause_s * (1 + SPREAD * self._chance()))
            pause_s = min(pause_s * 2, LONGEST_PROBE_S)
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_S):
                    await self.transport.get("/healthz", {})
                break
            except (
                Exception
            ) as error:  # whatever a transport raises, the host is not up, and the next probe may tell more
                logger.debug("%s is still down: %s", self.place, error)
        logger.info("%s answers again", self.place)
        self._failures = 0
        self._probing = None
