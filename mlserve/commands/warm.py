"""``mlserve warm``: fills the cache tiers that outlive it with a model's answers to the rows of a file."""

from __future__ import annotations

import argparse
import logging
import os
import stat
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.text import Text

from mlserve import registry
from mlserve.cache.datastores import Datastores
from mlserve.cache.external import External
from mlserve.commands.eval import INTERRUPTED, STDIN
from mlserve.commands.kept import Kept
from mlserve.commands.loop import run
from mlserve.commands.pipes import Halt, HaltingFile
from mlserve.commands.row_reader import RowReader
from mlserve.commands.warm_report import WarmReport
from mlserve.commands.warm_rows import Plan, warm_rows
from mlserve.commands.warmable import model_to_warm
from mlserve.commands.words import wide_console
from mlserve.config.load import LoadedConfig, load_config
from mlserve.config.schema import ModelConfig
from mlserve.daemon.models import open_manager, open_watch
from mlserve.errors import LoadError, SetupError
from mlserve.inference import failure
from mlserve.observe.logs import configure_logging
from mlserve.observe.metrics import Metrics
from mlserve.serving.deployment import Deployment
from mlserve.serving.manager import Manager


def warm_command(options: argparse.Namespace) -> int:
    """0 if the answers to all rows are kept, 1 if some are not, 130 after Ctrl-C.

    Raises :class:`~mlserve.errors.SetupError`.
    """
    configure_logging(options.log_format, options.log_level)
    if options.log_level != "debug":  # a failed run is told with its row; its traceback is for a server's log
        failure.logger.setLevel(logging.CRITICAL)
    loaded = load_config(options.config)
    model = model_to_warm(loaded.config.wanted_models(), options.model)
    with _opened(options.rows) as descriptor, Halt() as halt, ThreadPoolExecutor(1, "warm") as thread:
        try:
            return run(_warm(loaded, model, HaltingFile(descriptor, halt), options, thread))
        except KeyboardInterrupt:
            return INTERRUPTED
        finally:
            halt.set()


async def _warm(
    loaded: LoadedConfig, model: ModelConfig, file: HaltingFile, options: argparse.Namespace, thread: ThreadPoolExecutor
) -> int:
    external = External(loaded.base)
    output, errors = wide_console(), Console(stderr=True, highlight=False)
    async with (
        open_watch() as watch,
        open_manager(loaded.config, Metrics(), watch, datastores=Datastores(external=external)) as manager,
    ):
        manager.apply([model], loaded.base)
        with output.status(f"loading {model.id}"):
            await manager.first_attempts()
        who = f"{loaded.model_places[model.id]}: {model.id}"
        deployment = _loaded(manager, who)
        for warning in deployment.facts.warnings:
            errors.print(Text(f"warning: {who}: {warning}"), soft_wrap=True)
        kept = Kept(external)
        await kept.connected()
        inputs = [field.name for field in deployment.interface.inputs]
        reader = RowReader(file, "standard input" if options.rows == STDIN else options.rows, inputs)
        plan = Plan(options.batch, options.rate, loaded.config.endpoint.max_rows)
        protocol = registry.resolve("protocols", "eval")()
        report = WarmReport(output, errors, bar=sys.stderr.isatty(), total_bytes=_size(file.fileno()))
        with report:
            await warm_rows(partial(manager.acquire, model.id), reader, protocol, report, plan, kept.written, thread)
        loss = kept.loss(report.computed)
    if loss is not None:
        errors.print(Text(loss), soft_wrap=True)
    return 1 if loss is not None or report.refused else 0


def _loaded(manager: Manager, who: str) -> Deployment:
    """The only model of ``manager``, if it can be warmed."""
    (status,) = manager.statuses
    if status.deployment is None:
        raise LoadError(f"{who}: {status.reason}")
    if reason := status.deployment.cache.not_cached:
        raise SetupError(f"{who}: its answers are not cached, so it cannot be warmed: {reason}")
    return status.deployment


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """The descriptor of ``path``. Raises :class:`SetupError`."""
    if path == STDIN:
        if sys.stdin is None:
            raise SetupError("standard input is closed")
        yield sys.stdin.fileno()
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _size(descriptor: int) -> int | None:
    """Bytes of a regular file."""
    facts = os.fstat(descriptor)
    return facts.st_size if stat.S_ISREG(facts.st_mode) else None
