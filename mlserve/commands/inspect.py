"""``mlserve inspect URL``: what a model takes and gives, what of it can be cached, and an entry to paste."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlserve.commands.loop import run
from mlserve.config.schema import Config, ModelConfig
from mlserve.daemon.models import open_manager, open_watch
from mlserve.errors import LoadError
from mlserve.observe.logs import configure_logging
from mlserve.observe.metrics import Metrics
from mlserve.serving.deployment import Deployment
from mlserve.serving.selftest import made_up_values
from mlserve.types import InputField, Serving


def inspect_command(options: argparse.Namespace) -> int:
    """Loads the model once. Raises :class:`~mlserve.errors.SetupError` if it cannot be loaded."""
    configure_logging(options.log_format, options.log_level)
    config = ModelConfig(
        id=_id_from(options.url),
        url=options.url,
        backend=options.backend,
        signature=options.signature,
        tags=tuple(options.tags.split(",")),
    )
    console = Console(highlight=False)
    with console.status(f"loading {options.url}"):
        run(_show(config, console))
    return 0


async def _show(config: ModelConfig, console: Console) -> None:
    async with open_watch() as watch, open_manager(Config(), Metrics(), watch) as manager:
        manager.apply([config], str(Path.cwd()))
        await manager.first_attempts()
        status = manager.statuses[0]
        if status.deployment is None:
            raise LoadError(f"{config.url}: {status.error}")
        _print(status.deployment, console)


def _print(deployment: Deployment, console: Console) -> None:
    facts, interface = deployment.facts, deployment.interface
    console.print(Text(f"{facts.runtime}, {facts.size_bytes / 1e6:.2f} MB, loaded in {facts.load_seconds:.2f} s"))
    console.print(Text(f"generation {deployment.generation}"))
    console.print(Text(_SERVED[interface.serving]))
    for warning in facts.warnings:
        console.print(Text(f"warning: {warning}"))
    inputs = Table("Input", "Type", "One row's shape", "In the cache key")
    for field in interface.inputs:
        inputs.add_row(field.name, field.dtype, _shape(field), _keyed(field))
    console.print(inputs)
    outputs = Table("Output", "Declared as")
    for spec in facts.signature.outputs:
        outputs.add_row(spec.name, Text(str(spec)))
    console.print(outputs)
    console.print("\nTo serve it, paste this under Models: in your configuration:\n")
    console.print(Text(_entry(deployment)), soft_wrap=True)


_SERVED = {
    Serving.ROWS: "served by rows: any number of rows in one request, each cached by itself",
    Serving.ONE: "served by rows, one run for each: its first dimension is fixed to 1",
    Serving.WHOLE: "a request is one run, cached as a whole: its inputs do not share a free first dimension",
}


def _shape(field: InputField) -> str:
    if field.shape is None:
        return "unknown"
    return "scalar" if field.shape == () else "[" + ", ".join("any" if d is None else str(d) for d in field.shape) + "]"


def _keyed(field: InputField) -> str:
    return "exact value; Precision rounds it" if field.dtype.is_float else "exact value"


def _entry(deployment: Deployment) -> str:
    config = deployment.origin.config
    entry: dict[str, object] = {"ID": config.id, "URL": config.url}
    if config.backend:
        entry["Backend"] = config.backend
    if config.signature != "serving_default":
        entry["Signature"] = config.signature
    if config.tags != ("serve",):
        entry["Tags"] = list(config.tags)
    entry["Inputs"] = [{"Name": field.name} for field in deployment.interface.inputs]
    entry["Test"] = {"Single": made_up_values(deployment.interface, {})}
    return yaml.safe_dump([entry], sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)


def _id_from(url: str) -> str:
    """A model id from the last telling part of a URL."""
    name = re.split(r"[/:]", url.rstrip("/"))[-1]
    if url.startswith("python:"):
        name = re.split(r"[/:]", url)[-2]
    stem = re.sub(r"\.(onnx|py|zip|tar|tar\.gz|tgz)$", "", name)
    return re.sub(r"[^A-Za-z0-9_.\-]+", "-", stem).strip("-.") or "model"
