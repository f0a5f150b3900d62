"""The access log: off, a sample, or every request. Off costs one comparison; a sample one draw."""

from __future__ import annotations

import logging
import re
from random import Random
from typing import Final, Literal

logger = logging.getLogger("mlserve.access")

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._:/+=@-]")
_MAX_REQUEST_ID: Final = 128


def safe_request_id(text: str) -> str:
    """A caller's ``X-Request-Id``, bounded in length and characters before it reaches a log."""
    return _UNSAFE.sub("_", text[:_MAX_REQUEST_ID])


class AccessLog:
    """Decides and writes. ``share`` is the part of requests that ``sampled`` writes.

    Ask :meth:`picks` once for each answered request, and :meth:`write` those that it picks: what a line needs is then
    only worked out for them.
    """

    def __init__(self, mode: Literal["off", "sampled", "all"], share: float, random: Random | None = None) -> None:
        self._share = {"off": 0.0, "sampled": share, "all": 1.0}[mode]
        self._draw = (random or Random()).random  # noqa: S311  # sampling, no secrets
        if self._share > 0:
            logger.setLevel(logging.INFO)

    def picks(self) -> bool:
        """Whether this request is in the sample."""
        return self._share > 0 and self._draw() < self._share

    def write(
        self, *, peer: str, method: str, path: str, status: int, seconds: float, size: int, request_id: str
    ) -> None:
        """One line."""
        logger.info(
            "%s %s %s %d %.0f us %d B %s",
            peer,
            method,
            path.encode("unicode_escape").decode()[:256],
            status,
            seconds * 1e6,
            size,
            request_id or "-",
            extra={
                "peer": peer,
                "method": method,
                "path": path[:256],
                "status": status,
                "microseconds": round(seconds * 1e6),
                "bytes": size,
                "request_id": request_id,
            },
        )
