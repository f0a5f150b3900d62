"""How the cache took part in a request, in the words of RFC 9211 (``Cache-Status``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mlserve.cache.lookup import MEMORY, Found

BYPASS: Final = "mlserve; fwd=bypass"


def all_in_memory(rows: int, ttl_s: float | None) -> str:
    """``ttl_s`` is what is left to live of the first row."""
    return f'mlserve; detail="{MEMORY}={rows}"' if rows > 1 else _hit(MEMORY, ttl_s)


def all_found(rows: int, found: Sequence[Found]) -> str:
    """Not all of them in memory."""
    return _detail(found, 0) if rows > 1 else _hit(found[0].label, found[0].ttl_s)


def some_missing(
    rows: int, found: Sequence[Found], missing: int, *, joined: bool, wanted_anew: bool, stored: bool
) -> str:
    """``joined``: all that is missing was being computed already. ``stored``: what is computed will be."""
    if rows > 1:
        return _detail(found, missing)
    if joined:
        return "mlserve; fwd=miss; collapsed"
    reason = "request" if wanted_anew else "miss"
    return f"mlserve; fwd={reason}; stored" if stored else f"mlserve; fwd={reason}"


def _hit(label: str, ttl_s: float | None) -> str:
    return f"{label}; hit" if ttl_s is None else f"{label}; hit; ttl={int(ttl_s)}"


def _detail(found: Sequence[Found], missing: int) -> str:
    counts = {MEMORY: 0}
    for part in found:
        counts[part.label] = counts.get(part.label, 0) + len(part.places)
    if missing:
        counts["miss"] = missing
    return 'mlserve; detail="' + " ".join(f"{label}={count}" for label, count in counts.items()) + '"'
