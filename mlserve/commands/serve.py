"""``mlserve serve``."""

from __future__ import annotations

import argparse
import logging

from mlserve.commands.loop import run
from mlserve.config.load import load_config
from mlserve.daemon.process import ServeOptions, serve
from mlserve.observe.logs import configure_logging
from mlserve.processors import processors

logger = logging.getLogger("mlserve")


def serve_command(options: argparse.Namespace) -> int:
    """Serves until a signal. Raises :class:`~mlserve.errors.SetupError` for what stops it from starting."""
    configure_logging(options.log_format, options.log_level)
    loaded = load_config(options.config)
    ours = processors()
    logger.info("uses %d processors (%s)", ours.count, ours.reason)
    return run(serve(loaded, ServeOptions(host=options.host, port=options.port, strict=options.strict)))
