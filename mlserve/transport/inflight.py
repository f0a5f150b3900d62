"""The bytes that requests and answers hold in memory, over all connections of a port."""

from __future__ import annotations

from mlserve.errors import Overloaded


class InFlightBytes:
    """Counts the bodies of requests not yet answered and the answers not yet taken by their clients.

    What counts is what is there: a body that is only announced costs nothing, so that a client which announces much
    and sends little cannot keep others out. A body larger than the whole bound is let in while nothing else is there.
    Requests without a body are always let in, so that probes and metrics are answered under any load; they are bounded
    by ``MaxConnections`` times ``MaxHeaderBytes``.
    """

    __slots__ = ("_most", "held")

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0
        """Bytes held now. An answer that is ready is never refused, so this may pass the bound by what was let in."""

    def has_room(self, size: int) -> bool:
        """Whether ``size`` bytes more are within the bound."""
        return self.held + size <= self._most

    def check(self, size: int, own: int = 0) -> None:
        """Raise :class:`~mlserve.errors.Overloaded` if there is no room for ``size`` bytes more.

        ``own`` is what whoever asks holds already.
        """
        if self.held + size > self._most and self.held > own:
            raise Overloaded(
                f"requests and answers in flight hold {self.held} of the {self._most} bytes of MaxInFlightBytes"
            )
