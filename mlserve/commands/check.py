"""``mlserve check``: everything that serve would do short of listening.

A table of the models on standard output; on standard error one line, with file and line, for everything that is wrong
or without effect.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.text import Text

from mlserve.cache import connection
from mlserve.cache.datastores import Datastores
from mlserve.cache.external import External
from mlserve.commands.loop import run
from mlserve.commands.vocabulary import size_of
from mlserve.commands.words import SERVED_BRIEFLY, plain_table, row_words, wide_console
from mlserve.config.load import LoadedConfig, load_config
from mlserve.daemon.models import open_manager, open_watch
from mlserve.daemon.process import tls_context
from mlserve.errors import SetupError
from mlserve.observe.line import one_line
from mlserve.observe.logs import configure_logging
from mlserve.observe.metrics import Metrics
from mlserve.serving.deployment import Deployment
from mlserve.serving.interface import row_shape
from mlserve.serving.manager import Status
from mlserve.types import InputField, Shape, TensorSpec

CONNECT_S: Final = 10.0
"""How long stores may take to be connected to, all together; one that hangs gives up sooner by its own timeouts."""


def check_command(options: argparse.Namespace) -> int:
    """0 if every model loads and passes its self-test, else 1. Raises :class:`~mlserve.errors.ConfigError`."""
    configure_logging(options.log_format, options.log_level)
    loaded = load_config(options.config)
    console = wide_console()
    with console.status(f"loading {len(loaded.config.models)} models"), _without_log_of_connections():
        results, problems, away = run(_try(loaded))
    table = plain_table("Model", "Takes", "Gives", "Runs on")
    for result in results:
        table.add_row(*map(Text, result.cells))
    console.print(table)
    remarks = [f"note: {notice}" for notice in loaded.notices]
    remarks += [f"warning: {warning}" for warning in away]
    remarks += [f"warning: {warning}" for result in results for warning in result.warnings]
    problems += [result.problem for result in results if result.problem]
    _remark([*remarks, *(f"problem: {problem}" for problem in problems)])
    good = sum(result.problem is None for result in results)
    console.print(f"{good} of {len(results)} models load" + ("" if problems else "; all good"))
    return 1 if problems else 0


@dataclass(frozen=True, slots=True)
class _Result:
    """What is said about one model."""

    cells: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    problem: str | None = None


@contextmanager
def _without_log_of_connections() -> Iterator[None]:
    """What it would say of those that are away is said with file and line instead."""
    log = logging.getLogger(connection.__name__)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


async def _try(loaded: LoadedConfig) -> tuple[list[_Result], list[str], list[str]]:
    """The models' results in the order of the file, the problems of none of them, and connections that are away."""
    problems = []
    try:
        await asyncio.to_thread(tls_context, loaded)
    except SetupError as error:
        problems.append(one_line(f"{loaded.url}: {error}"))
    datastores = Datastores(external=External(loaded.base))
    async with (
        open_watch() as watch,
        open_manager(loaded.config, Metrics(), watch, datastores=datastores) as manager,
    ):
        manager.apply(loaded.config.wanted_models(), loaded.base)
        await manager.first_attempts()
        await datastores.external.tried(CONNECT_S)
        away = [_away(loaded, it) for it in datastores.external.connections if it.down is not None]
        return [_result(loaded, status) for status in manager.statuses], problems, away


def _away(loaded: LoadedConfig, it: connection.Connection) -> str:
    where = loaded.connection_places[it.id]
    return one_line(f"{where}: connection {it.id} ({it.shown}): {it.down}; answers come without it")


def _result(loaded: LoadedConfig, status: Status) -> _Result:
    who = f"{loaded.model_places[status.model_id]}: {status.model_id}"
    deployment = status.deployment
    if deployment is None:
        problem = one_line(f"{who}: {status.reason}")
        return _Result((status.model_id, "", "", "does not load"), problem=problem)
    warnings = tuple(one_line(f"{who}: {warning}") for warning in deployment.facts.warnings)
    return _Result((status.model_id, _takes(deployment), _gives(deployment), _runs_on(deployment)), warnings)


def _takes(deployment: Deployment) -> str:
    return "\n".join(map(_input, deployment.interface.inputs))


def _input(field: InputField) -> str:
    auxiliary, optional = "auxiliary" if field.auxiliary else "", "optional" if field.has_default else ""
    return ", ".join(filter(None, (_column(field, field.shape, auxiliary, optional), size_of(field.lookups))))


def _gives(deployment: Deployment) -> str:
    interface = deployment.interface
    if interface.outputs is None:
        return "what its transformer says"
    return "\n".join(_column(spec, row_shape(spec, interface.serving)) for spec in interface.outputs)


def _column(named: InputField | TensorSpec, shape: Shape | None, *words: str) -> str:
    return " ".join(filter(None, (f"{named.name}: {named.dtype}", "" if shape == () else row_words(shape), *words)))


def _runs_on(deployment: Deployment) -> str:
    facts = deployment.facts
    return "\n".join(
        (
            facts.runtime,
            SERVED_BRIEFLY[deployment.interface.serving],
            "cached" if deployment.cache.not_cached is None else f"not cached: {deployment.cache.not_cached}",
            f"generation {deployment.generation[:12]}",
            f"loaded in {facts.load_seconds:.2f} s",
        )
    )


def _remark(lines: list[str]) -> None:
    """One line each, however long: they are for grep and editors as much as for people."""
    console = Console(stderr=True, highlight=False)
    for line in lines:
        console.print(Text(line), soft_wrap=True)
