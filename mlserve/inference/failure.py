"""Turns what user code and runtimes raise into an error that is safe to show, with the cause in the log."""

from __future__ import annotations

import logging
from secrets import token_hex

from mlserve.errors import InferenceFailed

logger = logging.getLogger(__name__)


def inference_failed(model_id: str, what: str, error: BaseException) -> InferenceFailed:
    """Logs ``error`` with its traceback under a fresh incident id and answers the error to raise."""
    incident = token_hex(6)
    logger.error("%s: %s failed, incident %s", model_id, what, incident, exc_info=error)
    return InferenceFailed(
        f"{what} failed; the server's log has the cause under incident {incident}", incident=incident
    )
