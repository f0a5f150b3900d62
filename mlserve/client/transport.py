"""The one seam between the client and a network: tests put a function in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole answer, whatever its status. ``headers`` are case-insensitive."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """A way to one server. Used from one event loop, by several tasks at once."""

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        """POST ``body`` to ``path`` (percent-encoded, below the server's URL), once; the caller sets the deadline.

        Raises :class:`~mlserve.errors.Unreachable`, :class:`~mlserve.errors.Interrupted` (also for what was under
        way at :meth:`close`) and :class:`~mlserve.errors.BadAnswer`.
        """
        ...

    async def close(self) -> None:
        """Ends what is under way, then every connection. May be called again."""
        ...
