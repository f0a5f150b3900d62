"""Who may ask for what: ``AllowedSubnet``, the same for every route that it guards."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from mlserve.errors import Forbidden
from mlserve.transport.subnet import Subnets, is_loopback


class Access(Enum):
    """Which peers a route answers."""

    ANYONE = "anyone"
    ALLOWED = "the peers in AllowedSubnet, anyone if it is empty"
    LOOPBACK = "the peers in AllowedSubnet, this machine alone if it is empty"


class Guard:
    """Checks a peer's address. Replace the entries with :meth:`configure` when a new configuration applies."""

    def __init__(self, allowed_subnet: Sequence[str]) -> None:
        self.configure(allowed_subnet)

    def configure(self, allowed_subnet: Sequence[str]) -> None:
        """Guard by other entries. Raises :class:`ValueError` for one that is neither CIDR nor whole octets."""
        self._allowed = Subnets(allowed_subnet)

    def check(self, peer: str, access: Access) -> None:
        """Raises :class:`Forbidden` if ``peer`` may not ask."""
        if access is Access.ANYONE or (self._allowed and peer in self._allowed):
            return
        if self._allowed:
            raise Forbidden("this address is not in AllowedSubnet")
        if access is Access.LOOPBACK and not is_loopback(peer):
            raise Forbidden("answered to this machine alone unless AllowedSubnet names other addresses")
