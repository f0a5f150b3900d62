"""The external tiers of a version as clients find them: those that mly's clients can read, and all of them for ours.

mly's clients know Aerospike alone, and end at a connection that they cannot use. So they are told of tiers of mly's
layout only: the first is their L1, the second their L2, and where it is not the datastore's own L1, L2 takes its place.
No address holds a user or a password; who needs one has it from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from mlserve import registry
from mlserve.cache.external import L1, L2
from mlserve.cache.mly import unfit
from mlserve.config.masking import redact_value
from mlserve.config.schema import ConnectionConfig, ConnectionTimeout, DatastoreConfig, TierConfig
from mlserve.contracts.place import Locates, Place
from mlserve.contracts.store import StoreFault
from mlserve.types import Interface

_HOSTS: Final = re.compile(r"[\w.,:\-\[\]]+")
_DATABASE: Final = re.compile(r"/[0-9]{1,9}")
_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class SharedTier:
    """One external tier. ``place`` is ``None`` for a store that has no namespaces, and for one that cannot work."""

    label: str
    config: TierConfig
    link: ConnectionConfig
    place: Place | None


def shared_tiers(store: DatastoreConfig, interface: Interface) -> Sequence[SharedTier]:
    """The tiers that a version keeps answers in, L1 first. Imports the files of stores."""
    found = (_shared(L1, store), _shared(L2, store.l2))
    in_vain = unfit(interface) is not None
    return [tier for tier in found if tier is not None and not (tier.config.keeps_records and in_vain)]


def read_by_mly(tiers: Sequence[SharedTier]) -> Sequence[SharedTier]:
    """Those of ``tiers`` that mly's clients can read, in order."""
    return [tier for tier in tiers if tier.config.keeps_records and tier.place is not None]


def connections_document(tiers: Sequence[SharedTier]) -> list[dict[str, Any]] | None:
    """``Connections`` of ``meta/config``: each connection of ``tiers`` once, as mly describes it."""
    found = {tier.link.id: _connection(tier.link, tier.place) for tier in tiers if tier.place is not None}
    return list(found.values()) or None


def reference_document(tier: SharedTier | None, store: DatastoreConfig) -> dict[str, Any]:
    """What the datastore says of one tier of mly's; with ``None``, of being without one. Lives in milliseconds."""
    config = store if tier is None else tier.config
    place = tier.place if tier is not None else None
    document: dict[str, Any] = {
        "Connection": "" if tier is None else tier.link.id,
        "Namespace": (config.namespace or "") if place is None else place.namespace,
        "Dataset": (config.dataset or "") if place is None else place.dataset,
        "TimeToLiveMs": (config.time_to_live_ms or store.time_to_live_ms) // _MILLISECOND,
        "RetryTimeMs": (config.retry_time_ms or store.retry_time_ms) // _MILLISECOND,
    }
    if tier is not None and config.read_only:
        document["ReadOnly"] = True
    return document


def tiers_document(tiers: Sequence[SharedTier], store: DatastoreConfig) -> list[dict[str, Any]]:
    """``Tiers`` (ours): every tier with its layout. Without ``URL`` for one that has no address in a network."""
    return [dict(_tier(tier, store)) for tier in tiers]


def public_address(url: str) -> str | None:
    """``scheme://host:port`` of ``url``, with the number of a database; ``None`` if it names no host."""
    parts = urlsplit(redact_value(url))
    hosts = parts.netloc.rpartition("@")[2]
    if not _HOSTS.fullmatch(hosts):
        return None
    database = parts.path if _DATABASE.fullmatch(parts.path) else ""
    return f"{parts.scheme}://{hosts}{database}"


def _shared(label: str, config: TierConfig | None) -> SharedTier | None:
    if config is None or config.link is None:
        return None
    return SharedTier(label, config, config.link, _place(config.link, config))


def _place(link: ConnectionConfig, config: TierConfig) -> Place | None:
    kind = registry.resolve("stores", _url(link).partition(":")[0])
    try:
        return kind.place(_url(link), config.namespace, config.dataset) if isinstance(kind, Locates) else None
    except StoreFault:
        return None


def _url(link: ConnectionConfig) -> str:
    return link.url or f"aerospike://{link.hostnames}:{link.port}"


def _connection(link: ConnectionConfig, place: Place) -> dict[str, Any]:
    timeout = link.timeout or ConnectionTimeout()
    # One port for all hosts is all that clients take. Any of them knows the others, so some are enough.
    port = place.hosts[0][1]
    hosts = ",".join(host for host, its_port in place.hosts if its_port == port)
    return {
        "ID": link.id,
        "Hostnames": hosts,
        "Port": port,
        "Timeout": {
            "Unit": timeout.unit,
            "Connection": timeout.connection,
            "Socket": timeout.socket,
            "Total": timeout.total,
        },
    }


def _tier(tier: SharedTier, store: DatastoreConfig) -> Iterator[tuple[str, object]]:
    yield "Tier", tier.label
    yield "Connection", tier.link.id
    yield "Layout", "mly" if tier.config.keeps_records else "native"
    if (address := public_address(_url(tier.link))) is not None:
        yield "URL", address
    if tier.place is not None:
        yield "Namespace", tier.place.namespace
        yield "Dataset", tier.place.dataset
    yield "TimeToLiveMs", (tier.config.time_to_live_ms or store.time_to_live_ms) // _MILLISECOND
    if tier.config.read_only:
        yield "ReadOnly", True
