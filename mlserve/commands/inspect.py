"""``mlserve inspect URL``: what a model takes and gives, what of it can be cached, and an entry to paste."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from rich.console import Console
from rich.text import Text

from mlserve.cache.segments import rule_of
from mlserve.commands.loop import run
from mlserve.commands.vocabulary import first_words
from mlserve.commands.words import plain_table, row_words, wide_console
from mlserve.config.load import LoadedConfig, parse_config
from mlserve.config.redact import redact_url
from mlserve.config.schema import ModelConfig, TestConfig
from mlserve.daemon.models import open_manager, open_watch
from mlserve.errors import ConfigError, LoadError, SetupError
from mlserve.observe.logs import configure_logging
from mlserve.observe.metrics import Metrics
from mlserve.observe.sizes import size_words
from mlserve.serving.deployment import Deployment
from mlserve.serving.interface import row_shape
from mlserve.serving.selftest import made_up_values, self_test
from mlserve.types import Interface, Serving

TEST_TIMEOUT_S: Final = 30.0
LARGEST_TEST_ROW: Final = 100
"""Values. A longer row is no help in an entry to paste."""

_SERVED: Final = {
    Serving.ROWS: "served by rows: a request may hold any number of them",
    Serving.ONE: "served by rows, each in a run of its own: the first dimension is fixed to 1",
    Serving.WHOLE: "a request is one run: the inputs do not share a free first dimension",
}


def inspect_command(options: argparse.Namespace) -> int:
    """Loads the model once. Raises :class:`~mlserve.errors.SetupError` if it cannot be loaded."""
    configure_logging(options.log_format, options.log_level)
    entry = _entry(options)
    loaded = _parsed(entry)
    console = wide_console()
    with console.status(f"loading {redact_url(options.url)}"):
        deployment, row = run(_load(loaded))
    _print_facts(deployment, console)
    entry["Inputs"] = [{"Name": field.name} for field in deployment.interface.inputs]
    _print_entry(entry, row, console)
    return 0


def _entry(options: argparse.Namespace) -> dict[str, Any]:
    """The options as an entry of ``Models``, only what is not the default."""
    entry: dict[str, Any] = {"ID": _id_from(options.url), "URL": options.url.replace("${", "$${")}
    if options.backend:
        entry["Backend"] = options.backend
    if options.signature != "serving_default":
        entry["Signature"] = options.signature
    if options.tags != "serve":
        entry["Tags"] = [tag.strip() for tag in options.tags.split(",") if tag.strip()]
    return entry


def _parsed(entry: Mapping[str, Any]) -> LoadedConfig:
    """What is printed in the end is what is read here, so it can be read again."""
    try:
        return parse_config(_yaml({"Models": [entry]}), place=str(Path.cwd() / "command line"), environ={})
    except ConfigError as error:
        words = (f"{problem.path.rpartition('.')[2]}: {problem.message}" for problem in error.problems)
        raise SetupError("; ".join(words)) from error


async def _load(loaded: LoadedConfig) -> tuple[Deployment, dict[str, Any] | None]:
    """The model, closed again, and a test row that it answers if one can be made up."""
    async with open_watch() as watch, open_manager(loaded.config, Metrics(), watch) as manager:
        manager.apply(loaded.config.wanted_models(), loaded.base)
        await manager.first_attempts()
        status = manager.statuses[0]
        if status.deployment is None:
            raise LoadError(status.reason)
        return status.deployment, await _answered_row(status.deployment)


async def _answered_row(deployment: Deployment) -> dict[str, Any] | None:
    row = {name: _rounded(value) for name, value in made_up_values(deployment.interface, {}).items()}
    config: ModelConfig = deployment.origin.config.model_copy(update={"test": TestConfig(single=row)})
    if _count(list(row.values())) > LARGEST_TEST_ROW:
        return None
    try:
        await self_test(config, deployment.interface, deployment.predict, time.monotonic() + TEST_TIMEOUT_S)
    except LoadError:
        return None
    return row


def _print_facts(deployment: Deployment, console: Console) -> None:
    facts, serving = deployment.facts, deployment.interface.serving
    lines = [
        f"{facts.runtime}, {size_words(facts.size_bytes)}, loaded in {facts.load_seconds:.2f} s",
        f"generation {deployment.generation}",
        _SERVED[serving],
        "equal rows get equal answers: they may be cached"
        if facts.deterministic
        else "equal rows may get different answers (it draws random numbers, or says so): they must not be cached",
        *(f"warning: {warning}" for warning in facts.warnings),
    ]
    for line in lines:
        console.print(Text(redact_url(line)), soft_wrap=True)
    for title, specs in (("Input", facts.signature.inputs), ("Output", facts.signature.outputs)):
        table = plain_table(title, "Type", "Declared as", "One row")
        for spec in specs:
            declared = str(spec).removeprefix(f"{spec.name}: {spec.dtype}")
            table.add_row(*map(Text, (spec.name, spec.dtype, declared, row_words(row_shape(spec, serving)))))
        console.print(table)
    if facts.deterministic:
        _print_keys(deployment.interface, console)


def _print_keys(interface: Interface, console: Console) -> None:
    """What makes two rows one to a cache."""
    table = plain_table("Input", "Vocabulary", "In the key of a cached row")
    for field in interface.inputs:
        table.add_row(*map(Text, (field.name, first_words(field.lookups), rule_of(field))))
    console.print(table)


def _print_entry(entry: dict[str, Any], row: dict[str, Any] | None, console: Console) -> None:
    remarks = []
    if row is not None:
        entry["Test"] = {"Single": row}
        remarks.append("The test row is made up: put a real one in, and what to Expect.")
    else:
        remarks.append("A row could not be made up: add Test: {Single: …, Expect: …}.")
    shown = redact_url(entry["URL"])
    if shown != entry["URL"]:
        entry["URL"] = shown
        remarks.append("The secrets in its URL are hidden: put them back as ${NAME}, from the environment.")
    console.print("To serve it, paste this under Models: in your configuration.", soft_wrap=True)
    for remark in remarks:
        console.print(Text(remark), soft_wrap=True)
    console.print()
    console.print(Text(_yaml([entry]).rstrip("\n")), soft_wrap=True)


def _yaml(content: object) -> str:
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)


def _rounded(value: Any) -> Any:
    """Made-up numbers with two decimals: nobody wants to read sixteen."""
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 2) if isinstance(value, float) else value


def _count(value: object) -> int:
    return sum(map(_count, value)) if isinstance(value, list) else 1


def _id_from(url: str) -> str:
    """A model id from the last telling part of a URL."""
    path = re.split(r"[?#]", url)[0].rstrip("/")
    parts = re.split(r"[/:]", path)
    name = parts[-2] if url.startswith("python:") and len(parts) > 1 else parts[-1]
    stem = re.sub(r"\.(onnx|py|zip|tar|tar\.gz|tgz)$", "", name)
    return re.sub(r"[^A-Za-z0-9_.\-]+", "-", stem).lstrip("-_.").rstrip("-")[:128] or "model"
