"""``AllowedSubnet``: which peers may see the administrative routes.

Pure. An entry is CIDR (``10.1.0.0/16``, ``2001:db8::/32``), an address, or the first octets of an IPv4 address
(``10.0`` or ``10.0.``), matched whole: ``10.0.0.1`` is one address and not also ``10.0.0.10``. What an empty list
means is the caller's to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_Address = IPv4Address | IPv6Address
_OCTETS = 4


class Subnets:
    """A set of addresses, asked with ``peer in subnets``. False for text that is no address."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Raises :class:`ValueError` that names the entry which cannot be read."""
        self._networks = tuple(_network(entry) for entry in entries)

    def __contains__(self, address: str) -> bool:
        peer = _peer(address)
        return peer is not None and any(peer in network for network in self._networks)

    def __bool__(self) -> bool:
        """True if there are entries."""
        return bool(self._networks)


def is_loopback(address: str) -> bool:
    """True if ``address`` is of this machine's loopback; false for text that is no address."""
    peer = _peer(address)
    return peer is not None and peer.is_loopback


@lru_cache(maxsize=1024)
def _peer(address: str) -> _Address | None:
    """``address`` without its zone; an IPv4 peer of a dual-stack socket (``::ffff:10.0.0.1``) as what it is."""
    try:
        peer = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return (peer.ipv4_mapped or peer) if isinstance(peer, IPv6Address) else peer


def _network(entry: str) -> IPv4Network | IPv6Network:
    text = entry.strip()
    try:
        network = ip_network(text if "/" in text or ":" in text else _prefix(text))
    except ValueError as error:
        raise ValueError(
            f"AllowedSubnet: {entry!r} is not a subnet ({error}): write CIDR such as 10.1.0.0/16, "
            "an address, or the first octets of one such as 10.1."
        ) from error
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is not None and network.prefixlen >= 96:
        return IPv4Network((mapped, network.prefixlen - 96))
    return network


def _prefix(text: str) -> str:
    """``10.0.`` as ``10.0.0.0/16``; raises :class:`ValueError` for what is no list of one to four octets."""
    octets = text.removesuffix(".").split(".")
    if len(octets) > _OCTETS or (len(octets) == _OCTETS and text.endswith(".")):
        raise ValueError("more octets than an address has")
    if not all(octets):
        raise ValueError("an octet is missing")
    whole = octets + ["0"] * (_OCTETS - len(octets))
    return f"{'.'.join(whole)}/{8 * len(octets)}"
