"""``aerospike://host1,host2:3000/namespace``: where a cluster is found.

Hosts are seeds: the client asks any of them for the rest. The last port holds for hosts without one, and it is 3000 if
none is given. The namespace holds for datastores that name none; it may be left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from mlserve.contracts.store import StoreFault

DEFAULT_PORT: Final = 3000
EXPECTED: Final = "expected aerospike://host1,host2:3000 or aerospike://host:3000/namespace"
_HOST: Final = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<name>[^:\[\]\s]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Address:
    """``str()`` of it is for logs and errors."""

    hosts: tuple[tuple[str, int], ...]
    namespace: str | None = None

    def __str__(self) -> str:
        return ", ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)


def parse(url: str) -> Address:
    """The address in ``url``. Raises :class:`StoreFault`, never with a password in its text."""
    rest = url.partition("://")[2]
    if "@" in rest:
        raise StoreFault(f"the URL of an Aerospike connection holds a user or password, which are not sent; {EXPECTED}")
    if "?" in rest or "#" in rest:
        raise StoreFault(f"an Aerospike URL takes no options (what stands after ? or #); {EXPECTED}")
    hosts, _, path = rest.partition("/")
    namespace = unquote(path.strip("/"))
    if "/" in namespace:
        raise StoreFault(f"an Aerospike URL ends with one namespace, not with {path!r}; {EXPECTED}")
    return Address(tuple(_hosts(hosts)), namespace or None)


def _hosts(given: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    port = DEFAULT_PORT
    for text in reversed(given.split(",")):
        match = _HOST.fullmatch(text.strip())
        if match is None or not 0 < int(match["port"] or port) < 65536:
            raise StoreFault(f"{text!r} is no host of an Aerospike URL; {EXPECTED}")
        own = int(match["port"]) if match["port"] else None
        if own is not None and not found:
            port = own
        found.append((match["v6"] or match["name"], own or port))
    return found[::-1]
