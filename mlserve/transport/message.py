"""A request and a response as handlers see them, whatever carried them: HTTP/1.1 or HTTP/2."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(slots=True)  # not frozen: made for every request, where freezing costs three times the making
class HttpRequest:
    """One whole request, body included and already within its limits.

    ``path`` is percent-decoded, ``query`` is the raw text after ``?``. ``headers`` is case-insensitive.
    ``peer`` is the address of the other end, without port. ``received`` is :func:`time.monotonic` when the
    request line arrived; deadlines and ``serviceTimeMcs`` count from it (uvloop's own clock has whole milliseconds).
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    peer: str
    received: float


@dataclass(slots=True)  # not frozen, as above
class HttpResponse:
    """One whole response. ``Content-Length``, ``Date`` and connection headers are the carrier's business."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_HEADERS)

    def with_header(self, name: str, value: str) -> HttpResponse:
        """The same answer with one header more."""
        return replace(self, headers={**self.headers, name: value})


Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]
"""Answers every request: raises nothing but ``CancelledError``, which means that the client left."""

Reply = Callable[[HttpResponse], None]
"""Gets the answer to one request, once. It must not raise."""
Abandon = Callable[[], None]
"""Called once by whoever no longer wants an answer that has not come."""
Begin = Callable[[HttpRequest, Reply], Abandon | None]
"""As a :data:`Handler`, without a task: ``None`` if it has begun nothing, and the request has to be handled by one."""
