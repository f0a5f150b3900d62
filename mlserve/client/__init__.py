"""Asking an mlserve: :class:`AsyncClient` for asyncio, :class:`Client` for threads. Needs nothing of a server's rooms.

::

    async with AsyncClient(["http://a:8086", "http://b:8086"]) as client:
        result = await client.eval("ctr", country="us", age=30)
        result["score"]

Names are imported when they are first used, for the command line imports from below this and starts quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mlserve.client.call import Call, Hook
    from mlserve.client.client import AsyncClient
    from mlserve.client.description import Description
    from mlserve.client.options import NO_CACHE, Cache
    from mlserve.client.result import Result
    from mlserve.client.sync import Client
    from mlserve.types import CacheUse

__all__ = ["NO_CACHE", "AsyncClient", "Cache", "CacheUse", "Call", "Client", "Description", "Hook", "Result"]

_PLACES: Final = {
    "NO_CACHE": "mlserve.client.options",
    "AsyncClient": "mlserve.client.client",
    "Cache": "mlserve.client.options",
    "CacheUse": "mlserve.types",
    "Call": "mlserve.client.call",
    "Client": "mlserve.client.sync",
    "Description": "mlserve.client.description",
    "Hook": "mlserve.client.call",
    "Result": "mlserve.client.result",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
