"""How a client looks before it asks. Values: equal ones mean the same, and none shows a secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Cache:
    """Where answers are looked for before a server is asked, where the server's configuration allows it at all.

    ``local`` is this process's own memory, of ``size_mb`` (``None``: as much as the server's own) for each model.
    ``tiers`` maps IDs of ``Connections`` in the server's configuration to their URLs, with the passwords that no server
    tells: ``{"shared": "redis://user:password@host/0"}``; those left out are not used. ``l1`` and ``l2`` switch them
    off by their place. Tiers are only read, for servers write them; with ``promote``, what L2 had is copied to L1.

    A client that finds everything would never hear that the model has a new version. So when it has found rows and
    asked nothing for ``recheck_s``, it asks a server for one of them, in the background.
    """

    local: bool = True
    l1: bool = True
    l2: bool = True
    size_mb: float | None = None
    tiers: Mapping[str, str] = field(default_factory=dict, repr=False)
    promote: bool = False
    recheck_s: float = 5.0


NO_CACHE = Cache(local=False, l1=False, l2=False)
"""Every call asks a server."""
