"""``mlserve check``: everything that serve would do short of listening, as a table and a list of problems."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlserve.commands.loop import run
from mlserve.config.load import LoadedConfig, load_config
from mlserve.config.redact import redact_url
from mlserve.daemon.models import open_manager, open_watch
from mlserve.observe.logs import configure_logging
from mlserve.observe.metrics import Metrics
from mlserve.serving.manager import Status


def check_command(options: argparse.Namespace) -> int:
    """0 if every model loads and passes its self-test, else 1."""
    configure_logging(options.log_format, options.log_level)
    loaded = load_config(options.config)
    console = Console(highlight=False)
    with console.status(f"loading {len(loaded.config.models)} models"):
        statuses = run(_load_all(loaded, console))
    return _report(loaded, statuses, console)


async def _load_all(loaded: LoadedConfig, console: Console) -> list[tuple[Status, tuple[str, ...]]]:
    async with open_watch() as watch, open_manager(loaded.config, Metrics(), watch) as manager:
        manager.apply(loaded.config.models, loaded.base)
        await manager.first_attempts()
        return [(status, _cells(status)) for status in manager.statuses]


def _cells(status: Status) -> tuple[str, ...]:
    if status.deployment is None:
        return (status.model_id, "", "", "", "", "", "")
    interface, facts = status.deployment.interface, status.deployment.facts
    return (
        status.model_id,
        facts.runtime,
        "\n".join(
            f"{field.name}: {field.dtype}" + (" (auxiliary)" if field.auxiliary else "") for field in interface.inputs
        ),
        "\n".join(map(str, facts.signature.outputs)),
        str(interface.serving),
        status.deployment.generation[:12],
        f"{facts.load_seconds:.2f} s",
    )


def _report(loaded: LoadedConfig, results: list[tuple[Status, tuple[str, ...]]], console: Console) -> int:
    table = Table("Model", "Backend", "Inputs", "Outputs", "Served by", "Generation", "Load")
    for _, cells in results:
        table.add_row(*map(Text, cells))
    console.print(table)
    for notice in loaded.notices:
        console.print(Text(f"note: {notice}"))
    failed = 0
    for status, _ in results:
        for warning in status.deployment.facts.warnings if status.deployment else ():
            console.print(Text(f"warning: {status.model_id}: {warning}"))
        if status.error:
            failed += 1
            console.print(Text(f"problem: {status.model_id}: {redact_url(status.error)}"))
    console.print(f"{len(results) - failed} of {len(results)} models load" + ("" if failed else "; all good"))
    return 1 if failed else 0
