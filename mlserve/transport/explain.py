"""``GET /v1/api/model/<id>/explain?…``: the key of a row, how it came to be, and what each tier holds for it."""

from __future__ import annotations

from time import monotonic
from typing import Any, Final

import orjson

from mlserve.contracts.protocol import Protocol
from mlserve.errors import WrongMethod
from mlserve.serving.manager import Manager
from mlserve.transport.access import Access, Guard
from mlserve.transport.message import HttpRequest, HttpResponse
from mlserve.values import plain_value

_PREFIX: Final = "/v1/api/model/"
_SUFFIX: Final = "/explain"
_METHODS: Final = ("GET", "HEAD")

TIERS_S: Final = 1.0
"""How long the tiers outside may take to say what they hold."""


class ExplainHandler:
    """Decodes the row as ``protocol`` (eval) does, and computes nothing."""

    def __init__(self, manager: Manager, protocol: Protocol, guard: Guard) -> None:
        self._manager = manager
        self._protocol = protocol
        self._guard = guard

    @staticmethod
    def match(path: str) -> str | None:
        """The model id in ``path``, if it is one of ours."""
        if path.startswith(_PREFIX) and path.endswith(_SUFFIX) and len(path) > len(_PREFIX) + len(_SUFFIX):
            return path[len(_PREFIX) : -len(_SUFFIX)]
        return None

    async def __call__(self, request: HttpRequest, model_id: str) -> HttpResponse:
        """Raises what :mod:`mlserve.errors` names for a request."""
        self._guard.check(request.peer, Access.LOOPBACK)
        if request.method not in _METHODS:
            raise WrongMethod("explain takes GET", allow=_METHODS)
        with self._manager.acquire(model_id) as deployment:
            interface, cache = deployment.interface, deployment.cache
            call = self._protocol.decode(request, interface, max_rows=1)
            (explained,) = await cache.explain(call.rows, monotonic() + TIERS_S)
            document = {"model": model_id, "generation": deployment.generation, **explained}
            if cache.not_cached is not None:
                document["notCached"] = cache.not_cached
        return HttpResponse(200, orjson.dumps(_utf8(document), default=_plain, option=orjson.OPT_SERIALIZE_NUMPY))


def _plain(value: Any) -> Any:
    """What orjson has no form for: complex numbers, bfloat16, arrays of text."""
    return _utf8(plain_value(value))


def _utf8(value: Any) -> Any:
    """``value`` with bytes that are not UTF-8, which stand in text as lone surrogates, as ``\\udcff``."""
    if isinstance(value, dict):
        return {_utf8(key): _utf8(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_utf8(member) for member in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
