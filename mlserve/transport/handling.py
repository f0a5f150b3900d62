"""One request given to the handler, and an answer whatever happens: what every carrier does between its bytes."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Final, TypeVar

from mlserve.errors import RequestError
from mlserve.transport.head import METHODS
from mlserve.transport.message import Handler, HttpRequest, HttpResponse
from mlserve.transport.status import error_response

log = logging.getLogger(__name__)

OPTIONS: Final = HttpResponse(204, headers={"Allow": ", ".join(METHODS)})
"""The answer to ``OPTIONS *``, which asks about the server and not about a route."""

Encoded = TypeVar("Encoded")


async def handled(
    handler: Handler, request: HttpRequest, encode: Callable[[HttpResponse], Encoded], wanted: Callable[[], bool]
) -> Encoded:
    """The encoded answer to ``request``; 500 if the handler fails or its answer cannot be encoded.

    Raises :class:`asyncio.CancelledError` if cancelled while the answer is no longer ``wanted``, as when the client
    left. Cancelled otherwise, it was something inside the handler: then the client still waits, and gets a 500.
    """
    try:
        return encode(await handler(request) if request.path != "*" else OPTIONS)
    except asyncio.CancelledError:
        if not wanted():
            raise
        return encode(_incident(request))
    except Exception:
        return encode(_incident(request))


def _incident(request: HttpRequest) -> HttpResponse:
    """500 for the exception being handled; its cause stands in the log under the id that the client gets."""
    incident = secrets.token_hex(6)
    log.exception("incident %s: the handler failed on %s %r", incident, request.method, request.path)
    return error_response(RequestError(f"the server failed on this request: the log has the cause as {incident}"))
