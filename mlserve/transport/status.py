"""Errors as HTTP answers: one table from code to status, one JSON body."""

from __future__ import annotations

from math import ceil
from typing import Final

import orjson

from mlserve.errors import RequestError, WrongMethod
from mlserve.transport.message import HttpResponse

STATUS: Final[dict[str, int]] = {
    "bad_request": 400,
    "forbidden": 403,
    "unknown_model": 404,
    "unknown_route": 404,
    "wrong_method": 405,
    "slow_sender": 408,
    "too_large": 413,
    "unsupported_encoding": 415,
    "expectation_failed": 417,
    "overloaded": 429,
    "header_too_large": 431,
    "internal": 500,
    "inference_failed": 500,
    "not_ready": 503,
    "deadline_exceeded": 504,
    "not_cached": 504,
}
"""Every code of :mod:`mlserve.errors`; a test compares the two."""


def error_response(error: RequestError, elapsed_s: float = 0.0) -> HttpResponse:
    """``error`` as ``{"status":"error","error":…,"code":…,"serviceTimeMcs":…}`` with the status its code stands for."""
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, ceil(error.retry_after_s)))
    if isinstance(error, WrongMethod):
        headers["Allow"] = ", ".join(error.allow)
    body = {
        "status": "error",
        "error": str(error).encode("utf-8", "replace").decode(),
        "code": error.code,
        "serviceTimeMcs": int(elapsed_s * 1e6),
    }
    return HttpResponse(STATUS[error.code], orjson.dumps(body), headers=headers)
