"""What a Redis server or the network means by an error, in words somebody can act upon.

The first word of a server's error is its code (https://redis.io/docs/latest/develop/reference/protocol-spec/).
"""

from __future__ import annotations

import socket
import ssl
from typing import Final

from mlserve.contracts.store import StoreFault, StoreRefused
from mlserve.stores.redis_address import Address

SHOWN: Final = 200
"""Characters of what a server says."""

CLUSTER: Final = "this is a node of a Redis Cluster: use a server that is none, or a proxy that hides it"
_WORDS: Final = {
    "ASK": CLUSTER,
    "BUSY": "the server is busy with a long script",
    "CLUSTERDOWN": CLUSTER,
    "CROSSSLOT": CLUSTER,
    "LOADING": "the server still loads its data",
    "MASTERDOWN": "the server is a replica that has lost its primary",
    "MISCONF": "the server cannot save to its disk and takes no writes: see its log",
    "MOVED": CLUSTER,
    "NOAUTH": "the server wants a password: redis://:password@host or redis://user:password@host",
    "NOPERM": "the user may not do this: it needs ~mlserve:* +mget +set +strlen and, but for database 0, +select",
    "NOREPLICAS": "the server has too few replicas to take writes: see its min-replicas-to-write",
    "OOM": "the server's memory is full: raise its maxmemory, or let it evict (maxmemory-policy allkeys-lru)",
    "READONLY": "the server is a replica: give the address of the primary, or say ReadOnly in the datastore",
    "WRONGPASS": "the server does not take this user or password",
}
_PHRASES: Final = {
    "DB index": "the server has no database of this number: see its setting databases",
    "invalid DB index": "the server has no database of this number: see its setting databases",
    "max number of clients": "the server has too many clients: raise its maxclients",
    "unknown command": "what answers does not take this command of Redis",
}


def failed(said: str) -> StoreFault:
    """The error for what the server ``said`` to a read, or when connecting."""
    return StoreFault(_explained(said))


def refused(said: str) -> StoreRefused:
    """The error for what the server ``said`` to a write."""
    return StoreRefused(_explained(said))


def unreachable(address: Address, error: OSError) -> StoreFault:
    """The error for a connection that could not be made."""
    return StoreFault(f"no connection to {address}: {_network(address, error)}")


def _explained(said: str) -> str:
    code, _, rest = said.partition(" ")
    words = _WORDS.get(code) or next((words for phrase, words in _PHRASES.items() if rest.startswith(phrase)), None)
    shown = "".join(char if char.isprintable() else " " for char in said[:SHOWN])
    return f"{words} ({shown})" if words else f"the server says {shown}"


def _network(address: Address, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"the name {address.host} does not resolve ({error.strerror})"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}; ssl_ca_certs= names whom to trust"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error}); a server without TLS is redis://"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there; is the server up, and is this its port?"
    if isinstance(error, FileNotFoundError):
        return "there is no such socket; is the server up, and is this its unixsocket?"
    if isinstance(error, PermissionError):
        return "this user may not use the socket: see the server's unixsocketperm"
    return error.strerror or str(error) or type(error).__name__
