"""The ways a request can take through the server, and what must be true of an answer that took one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from benchmarks.workload import PENGUIN, penguin_columns

COMPUTED: Final = "computed"
CACHED: Final = "cached"
STORED: Final = "stored"
"""Models: one without a cache, one with memory, one with LMDB alone."""
STORED_ROWS: Final = 1
"""Different rows that are asked of the last."""


@dataclass(frozen=True, slots=True)
class Path:
    """``callers`` send ``request`` at once, ``repeats`` times in a round of some milliseconds.

    ``cache`` is how ``Cache-Status`` begins in an answer that took this path; ``None``: there is none. ``beside`` is
    what the bare server is asked meanwhile, once for each request.
    """

    name: str
    request: bytes
    beside: bytes
    cache: str | None
    callers: int = 1
    repeats: int = 1

    def check(self, answer: bytes) -> None:
        """Raises :class:`RuntimeError` for an answer that came another way: its cost would say nothing."""
        head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
        said = dict(line.partition(": ")[::2] for line in head.split("\r\n")[1:]).get("Cache-Status")
        came = said is None if self.cache is None else said is not None and said.startswith(self.cache)
        if not came or not head.startswith("HTTP/1.1 200 "):
            expected = f"Cache-Status: {self.cache}" if self.cache else "no Cache-Status"
            raise RuntimeError(f"{self.name}: expected status 200 and {expected}, got {head!r}")


def _get(model: str, values: dict[str, Any]) -> bytes:
    return f"GET /v1/api/model/{model}/eval?{urlencode(values)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def _post(model: str, values: dict[str, Any]) -> bytes:
    body = orjson.dumps(values)
    head = f"POST /v1/api/model/{model}/eval HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _rows(count: int) -> dict[str, Any]:
    return {"batch_size": count, **penguin_columns(count)}


_ONE: Final = _post(COMPUTED, PENGUIN)
_HUNDRED: Final = _post(COMPUTED, _rows(100))
_THOUSAND: Final = _post(COMPUTED, _rows(1000))

PATHS: Final = (
    Path("GET from memory", _get(CACHED, PENGUIN), _ONE, "memory; hit", repeats=200),
    Path("POST from memory", _post(CACHED, PENGUIN), _ONE, "memory; hit", repeats=200),
    Path("100 rows from memory", _post(CACHED, _rows(100)), _HUNDRED, 'mlserve; detail="memory=100"', repeats=5),
    Path("1 row from LMDB", _post(STORED, PENGUIN), _ONE, "l1; hit", repeats=25),
    Path("1 row computed", _ONE, _ONE, None, repeats=25),
    Path("32 callers computed", _ONE, _ONE, None, callers=32),
    Path("1,000 rows computed", _THOUSAND, _THOUSAND, None),
)
