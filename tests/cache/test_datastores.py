"""A reload would empty the cache, or a removed tier keep its memory, if these failed."""

from __future__ import annotations

from typing import Any

import pytest

from mlserve.cache.datastores import Datastores, size_bytes
from mlserve.config.schema import DatastoreConfig
from mlserve.stores.memory import MemoryStore

MIB = 1 << 20


def config(size_mb: int | None = 8, store_id: str = "hot", **members: Any) -> DatastoreConfig:
    cache = {} if size_mb is None else {"Cache": {"SizeMB": size_mb}}
    return DatastoreConfig.model_validate({"ID": store_id, **cache, **members})


class Told:
    """Datastores, and what they say of themselves."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.stores = Datastores(
            lambda store_id, memory: self.events.append(("came", store_id)),
            lambda store_id: self.events.append(("went", store_id)),
        )


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (config(8), 8 * MIB),
        (config(None), 0),
        (config(8, Disabled=True), 0),
        (DatastoreConfig.model_validate({"ID": "hot", "Cache": {}}), MIB),
    ],
)
def test_the_size_of_a_memory_tier(given: DatastoreConfig, size: int) -> None:
    """No ``Cache``, or ``Disabled``: no tier. An empty ``Cache`` has mly's default, 1 MiB."""
    assert size_bytes(given) == size
    assert (Datastores().memory(given) is None) == (size == 0)


def test_models_that_name_one_datastore_share_its_memory() -> None:
    """``SizeMB`` bounds the datastore, not each model."""
    told = Told()
    first = told.stores.memory(config())
    assert isinstance(first, MemoryStore)
    assert told.stores.memory(config()) is first
    assert told.stores.memory(config(store_id="other")) is not first
    assert told.events == [("came", "hot"), ("came", "other")]


def test_a_configuration_that_keeps_the_size_keeps_the_entries() -> None:
    """Another time to live, or another datastore beside it, is no reason to start cold."""
    told = Told()
    memory = told.stores.memory(config())
    assert memory is not None
    memory.put(b"k", b"v", 60)
    told.stores.apply([config(TimeToLiveMs=1000), config(store_id="new")])
    again = told.stores.memory(config(TimeToLiveMs=1000))
    assert again is memory
    assert again.get(b"k") == b"v"
    assert told.events == [("came", "hot")]


@pytest.mark.parametrize("changed", [[config(16)], [config(None)], [config(8, Disabled=True)], []])
def test_another_size_or_none_gives_the_memory_back(changed: list[DatastoreConfig]) -> None:
    """What is not in the configuration any more must not be held, or shown in metrics."""
    told = Told()
    before = told.stores.memory(config())
    told.stores.apply(changed)
    assert told.events == [("came", "hot"), ("went", "hot")]
    for one in changed:
        assert told.stores.memory(one) is not before


def test_a_load_that_began_under_the_old_size_gets_a_tier_of_the_new_one_next() -> None:
    """The configuration may change while a version loads: the last word is that of the configuration in force."""
    told = Told()
    told.stores.memory(config(8))
    told.stores.apply([config(16)])
    late = told.stores.memory(config(8))
    new = told.stores.memory(config(16))
    assert isinstance(new, MemoryStore)
    assert new is not late
    assert new.shards * new.shard_bytes == 14 * MIB
    assert told.stores.aside_bytes == 2 * MIB
    assert told.stores.memory(config(16)) is new


def test_it_says_nothing_to_nobody() -> None:
    """``check`` and ``inspect`` show no metrics."""
    stores = Datastores()
    assert stores.memory(config()) is not None
    stores.apply([])
