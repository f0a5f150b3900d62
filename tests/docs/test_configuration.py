"""``docs/configuration.md`` has every key of the schema with its default, and says of each whether it does anything."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, get_args

import pytest
import yaml
from pydantic_core import PydanticUndefined

from mlserve import registry
from mlserve.config import schema
from mlserve.config.location import resolve_url
from mlserve.config.notices import WITHOUT_EFFECT
from mlserve.config.schema import Section
from mlserve.config.units import parse_duration
from mlserve.contracts.store import StoreOptions
from mlserve.stores.lmdb import LmdbStore, place
from mlserve.stores.redis_address import TLS_QUERY, parse
from tests.support.markdown import ROOT, code, rows_of, tables

PAGE = ROOT / "docs" / "configuration.md"

SECTIONS: dict[str, type[Section]] = {
    "Config": schema.Config,
    "Endpoint": schema.EndpointConfig,
    "Models": schema.ModelConfig,
    "Inputs": schema.InputConfig,
    "Outputs": schema.OutputConfig,
    "Test": schema.TestConfig,
    "Reload": schema.ReloadConfig,
    "Batch": schema.BatchConfig,
    "TimeoutAdjustments": schema.TimeoutAdjustments,
    "Datastores": schema.DatastoreConfig,
    "Cache": schema.MemoryCacheConfig,
    "L2": schema.TierConfig,
    "Connections": schema.ConnectionConfig,
    "Timeout": schema.ConnectionTimeout,
    "Metrics": schema.MetricsConfig,
    "Prometheus": schema.PrometheusConfig,
    "TLS": schema.TLSConfig,
}
"""Heading on the page -> class. A new class of the schema needs a heading, a table and a row here."""

KEYS = {
    heading: {code(row[0])[0]: row[1:] for row in rows} for heading, (head, *rows) in tables(PAGE) if head[0] == "Key"
}

READ_BY_THE_SCHEMA = {
    "global_batching",
    "write_timeout",
    "max_evaluator_wait",
    "max_evaluator_wait_ms",
    "platform",
    "mode",
}
"""Keys that only the configuration itself acts on: a property uses them, or a check refuses them."""


def test_every_section_has_a_table() -> None:
    """A whole part of the configuration would be a secret."""
    classes = [kind for kind in vars(schema).values() if isinstance(kind, type) and issubclass(kind, Section)]
    assert set(SECTIONS.values()) == set(classes) - {Section}
    assert KEYS.keys() == SECTIONS.keys()


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_has_a_row_and_every_row_a_key(heading: str) -> None:
    """A new key that nobody can find, or an old one that the server refuses."""
    assert KEYS[heading].keys() == {item.alias for item in SECTIONS[heading].model_fields.values()}


@pytest.mark.parametrize("heading", SECTIONS)
def test_defaults_are_those_of_the_code(heading: str) -> None:
    """Whoever leaves a key out relies on what the page says of it."""
    for item in SECTIONS[heading].model_fields.values():
        shown = KEYS[heading][str(item.alias)][1]
        assert is_default(shown, item.default), f"{heading}.{item.alias}: {shown}"


def is_default(shown: str, default: Any) -> bool:
    if default is PydanticUndefined:
        return shown == "required"
    if default in (None, "", (), {}) or isinstance(default, Section):
        return shown == "–"
    (text,) = code(shown)
    if isinstance(default, timedelta):
        return not text.isdigit() and parse_duration(text, "s") == default
    if isinstance(default, float):
        return float(text) == default
    if isinstance(default, str):
        return text == default
    value = yaml.safe_load(text)
    return bool((tuple(value) if isinstance(value, list) else value) == default)


@pytest.mark.parametrize("heading", SECTIONS)
def test_keys_without_effect_say_so_and_why(heading: str) -> None:
    """The same words as the notice in the log."""
    marked = {
        key: meaning.removeprefix("**No effect**: ").removesuffix(".")
        for key, (_, _, meaning) in KEYS[heading].items()
        if meaning.startswith("**No effect**")
    }
    assert marked == WITHOUT_EFFECT.get(SECTIONS[heading], {})


@pytest.mark.parametrize("heading", sorted(SECTIONS.keys() - {"Metrics"}))
def test_keys_that_the_server_does_not_act_on_say_so(heading: str) -> None:
    """A key that is accepted and does nothing is a promise that is not kept."""
    sources = (path for path in (ROOT / "mlserve").rglob("*.py") if path.parent.name not in ("config", "mly"))
    used = {word for path in sources for word in re.findall(r"\.([a-z_0-9]+)\b", path.read_text())}
    for attribute, item in SECTIONS[heading].model_fields.items():
        if attribute not in used | READ_BY_THE_SCHEMA:
            meaning = KEYS[heading][str(item.alias)][2]
            assert meaning.startswith(("**For clients**", "**No effect**")), f"{heading}.{item.alias}: {meaning}"


def test_every_scheme_of_a_store_has_a_url_that_it_takes() -> None:
    """A store that nobody can name is found by luck; a URL that is copied from here must not be refused."""
    shown = [url for urls in rows_of(PAGE, "URL") for url in code(urls)]
    assert {url.partition(":")[0] for url in shown} == set(registry.names("stores")) - {"memory"}
    for url in shown:
        options = StoreOptions(resolve_url("/etc/mlserve", url))
        store = registry.resolve("stores", url.partition(":")[0])(options)
        assert not isinstance(store, LmdbStore) or place(options)[0].is_absolute()


def test_every_parameter_of_a_url_has_a_row() -> None:
    """One that nobody can find is not used; one that a store refuses takes its connection down."""
    rows = rows_of(PAGE, "Parameter")
    shown = {name: set(code(schemes)) for names, (schemes, _) in rows.items() for name in code(names)}
    assert shown == {
        "db": {"redis", "rediss", "unix"},
        "size_mb": {"lmdb"},
        **{name: {"rediss"} for name in TLS_QUERY},
    }
    assert place(StoreOptions("lmdb:/a?size_mb=9"))[1] == 9 << 20
    assert [parse(f"{url}?db=3").db for url in ("redis://h", "rediss://h", "unix:///s")] == [3, 3, 3]


def test_times_without_a_timeout_are_those_of_the_code() -> None:
    """Operators count on how long a tier that hangs holds up a request."""
    options = StoreOptions("redis://h")
    _, _, meaning = KEYS["Connections"]["Timeout"]
    assert f"{options.connect_timeout_s:.0f} s to connect, {1000 * options.read_timeout_s:.0f} ms to read" in meaning


def test_every_layout_has_a_row() -> None:
    (words, _) = get_args(schema.TierConfig.model_fields["layout"].annotation)
    assert [code(layout)[0] for layout in sorted(rows_of(PAGE, "Layout"))] == sorted(get_args(words))


def test_other_names_of_keys_are_told() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [name for kind in SECTIONS.values() for name in kind.synonyms if f"`{name}`" not in text] == []
