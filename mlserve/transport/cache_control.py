"""Request ``Cache-Control`` (RFC 9111, section 5.2.1), as far as it means something to a cache of predictions."""

from __future__ import annotations

from typing import Final

from mlserve.types import CacheUse

_BY_STRENGTH: Final = (CacheUse.NO_STORE, CacheUse.NO_CACHE, CacheUse.ONLY_IF_CACHED)


def cache_use(header: str | None) -> CacheUse:
    """What the caller asks for; of several directives the one that trusts the cache least. Others are ignored."""
    if header is None:
        return CacheUse.NORMAL
    directives = {part.partition("=")[0].strip().lower() for part in header.split(",")}
    return next((use for use in _BY_STRENGTH if use in directives), CacheUse.NORMAL)
