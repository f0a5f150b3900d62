"""The page's files, read once, with the headers that keep a browser from running or loading anything else.

To add a file, put it into ``static`` and add its row to :data:`PAGE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Final

from mlserve.transport.message import HttpRequest, HttpResponse

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Only our own files; no markup is made from text, not even by our own script (Trusted Types)."""

_GUARDS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-cache",  # kept, and asked about each time: an update is seen at once
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file; call it with a request to answer that."""

    body: bytes
    content_type: str
    etag: str

    def __call__(self, request: HttpRequest) -> HttpResponse:
        headers = {**_GUARDS, "ETag": self.etag}
        if self._is_known(request.headers.get("If-None-Match", "")):
            return HttpResponse(304, headers=headers)
        return HttpResponse(200, self.body, self.content_type, headers)

    def _is_known(self, tags: str) -> bool:
        """Whether the client has this very file (RFC 9110, 13.1.2: weak tags count as strong ones)."""
        return tags.strip() == "*" or self.etag in [tag.strip().removeprefix("W/") for tag in tags.split(",")]


def _asset(name: str, content_type: str) -> Asset:
    body = (files(__package__) / "static" / name).read_bytes()
    return Asset(body, content_type, f'"{sha256(body).hexdigest()[:16]}"')


_SCRIPT: Final = "text/javascript; charset=utf-8"

PAGE: Final[Mapping[str, Asset]] = {
    "/": _asset("index.html", "text/html; charset=utf-8"),
    "/_page/style.css": _asset("style.css", "text/css; charset=utf-8"),
    "/_page/app.js": _asset("app.js", _SCRIPT),
    "/_page/card.js": _asset("card.js", _SCRIPT),
    "/_page/form.js": _asset("form.js", _SCRIPT),
    "/_page/answer.js": _asset("answer.js", _SCRIPT),
    "/_page/icon.svg": _asset("icon.svg", "image/svg+xml"),
}
"""By path. Read when this module is imported, which is before there is a loop to block."""
