"""The one seam between the client and a network: tests put a function in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    """A way to one server. Used from one event loop, by several tasks at once.

    Paths are percent-encoded and below the server's URL; the caller sets the deadline. Both calls raise
    :class:`~mlserve.errors.Unreachable`, :class:`~mlserve.errors.Interrupted` (also for what was under way at
    :meth:`close`) and :class:`~mlserve.errors.BadAnswer`.
    """

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        """POST ``body`` to ``path``, once."""
        ...

    async def get(self, path: str, headers: Mapping[str, str]) -> HttpAnswer:
        """GET ``path``, once. The body is as it was before any ``Content-Encoding``."""
        ...

    async def close(self) -> None:
        """Ends what is under way, then every connection. May be called again."""
        ...


MakeTransport = Callable[[str], Transport]
"""The way to the server at a URL (checked by ``server_url``); makes no connection yet."""
