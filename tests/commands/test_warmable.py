"""Nobody computes for hours what is gone with the command, or warms another model than was meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mlserve.commands.warmable import model_to_warm
from mlserve.config.schema import Config, ModelConfig
from mlserve.errors import SetupError

DATASTORES: list[dict[str, Any]] = [
    {"ID": "shared", "Connection": "redis"},
    {"ID": "deep", "Cache": {}, "L2": {"Connection": "redis"}},
    {"ID": "memory", "Cache": {"SizeMB": 16}},
    {"ID": "off", "Connection": "redis", "Disabled": True},
    {"ID": "read", "Connection": "redis", "ReadOnly": True},
]


def models(**stores: str | None) -> Sequence[ModelConfig]:
    """Models by id, each with its datastore."""
    config = {
        "Models": [{"ID": name, "URL": "u", "DataStore": store} for name, store in stores.items()],
        "Datastores": DATASTORES,
        "Connections": [{"ID": "redis", "URL": "redis://host"}],
    }
    return Config.model_validate(config).wanted_models()


def refusal(wanted: str | None, **stores: str | None) -> str:
    with pytest.raises(SetupError) as caught:
        model_to_warm(models(**stores), wanted)
    return str(caught.value)


@pytest.mark.parametrize("store", ["shared", "deep"])
def test_the_only_one_need_not_be_named(store: str) -> None:
    """Others, whose answers are not kept, do not count."""
    assert model_to_warm(models(a=None, b=store, c="memory"), None).id == "b"
    assert model_to_warm(models(b=store, c="shared"), "b").id == "b"


def test_of_several_one_must_be_named() -> None:
    """A guess would fill the wrong cache."""
    assert refusal(None, a="shared", b="deep") == "several models can be warmed; say which with --model: a, b"


@pytest.mark.parametrize(
    ("store", "reason"),
    [
        (None, "it names no DataStore, so its answers are not cached: give it one with a Connection"),
        ("memory", "its DataStore memory keeps answers in memory alone, which ends with this command: name a Conn"),
        ("off", "its DataStore off is disabled"),
        ("read", "its DataStore read is ReadOnly: leave that out to warm it"),
    ],
)
def test_why_it_would_be_in_vain(store: str | None, reason: str) -> None:
    """And what to do about it: named, and left to choose."""
    assert refusal("a", a=store).startswith(f"a: {reason}")
    assert f"\na: {reason}" in refusal(None, a=store, b=store)


def test_a_model_without_dictionary_is_not_cached() -> None:
    """UseDict: false is mly's word for it."""
    (model,) = models(a="shared")
    with pytest.raises(SetupError, match="a: UseDict is false"):
        model_to_warm([model.model_copy(update={"use_dict": False})], "a")


def test_a_misspelt_model_is_told_so() -> None:
    """With the nearest name."""
    assert refusal("penguin", penguins="shared").endswith("no model of that id is configured; did you mean 'penguins'?")
    assert refusal("zebra", penguins="shared", digits=None).endswith("there are: penguins, digits")
