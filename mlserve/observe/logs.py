"""The log: one line per change of state, as text for people or JSON for collectors, on standard error."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final

from mlserve.config.redact import redact_url
from mlserve.observe.line import one_line
from mlserve.observe.sizes import size_words
from mlserve.serving.events import Event, ModelFailed, ModelLoaded, ModelRecovered, ModelRemoved

logger = logging.getLogger("mlserve")

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact_url(record.getMessage()),
        }
        line.update((name, value) for name, value in vars(record).items() if name not in _STANDARD)
        if record.exc_info:
            line["exception"] = redact_url(self.formatException(record.exc_info))
        return json.dumps(line, default=str)


class _TextFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return redact_url(super().format(record))


def configure_logging(log_format: str, level: str) -> None:
    """Called once by the command line. Libraries speak from warnings up; mlserve from ``level`` up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logger.setLevel(level.upper())
    logging.captureWarnings(True)


def log_event(event: Event) -> None:
    """A listener of the manager's: what happened to which model, and what to do about it."""
    match event:
        case ModelLoaded(deployment, replaced):
            facts = deployment.facts
            logger.info(
                "%s %s: %s, generation %s, %s, loaded in %.2f s",
                event.model_id,
                "replaced" if replaced else "serves",
                facts.runtime,
                deployment.generation[:12],
                size_words(facts.size_bytes),
                facts.load_seconds,
            )
            for warning in facts.warnings:
                logger.warning("%s: %s", event.model_id, one_line(warning))
        case ModelFailed(model_id, error, serving, retry_s, repeated):
            level = logging.DEBUG if repeated else logging.ERROR
            goes_on = f"generation {serving.generation[:12]} goes on serving" if serving else "nothing serves"
            cause = one_line(str(error))
            logger.log(level, "%s failed to load: %s (%s; next try in %.0f s)", model_id, cause, goes_on, retry_s)
        case ModelRecovered(deployment):
            logger.info("%s is well again: its source holds generation %s", event.model_id, deployment.generation[:12])
        case ModelRemoved(model_id):
            logger.info("%s removed", model_id)
