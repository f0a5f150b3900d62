"""A warm-up that a store did not take must not look like one that it took."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Self

import pytest

from mlserve import registry
from mlserve.cache.external import External, Lease
from mlserve.commands import kept as module
from mlserve.commands.kept import Kept
from mlserve.config.schema import Config
from mlserve.contracts.store import StoreOptions
from mlserve.errors import SetupError
from tests.support.fake_store import FakeStore

STORES: list[FakeStore] = []


def make(options: StoreOptions) -> FakeStore:
    return STORES[0]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeStore]:
    """What every connection leads to."""
    monkeypatch.setitem(registry.TABLES["stores"], "redis", f"{__name__}:make")
    monkeypatch.setattr(registry, "import_module", lambda name: sys.modules[name])
    registry.resolve.cache_clear()
    STORES[:] = [FakeStore()]
    yield STORES[0]
    STORES.clear()
    registry.resolve.cache_clear()


class Held:
    """Tiers under lease, as those of a loaded model."""

    def __init__(self) -> None:
        self.external = External()
        self.kept = Kept(self.external)

    async def __aenter__(self) -> Self:
        config = Config.model_validate(
            {
                "Models": [{"ID": "m", "URL": "u", "DataStore": "d"}],
                "Datastores": [{"ID": "d", "Connection": "shared"}],
                "Connections": [{"ID": "shared", "URL": "redis://host"}],
            }
        )
        store = config.wanted_models()[0].store
        assert store is not None
        self.lease: Lease = self.external.lease(store)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.lease.release()

    def put(self, name: bytes) -> None:
        self.lease.tiers[0].tier.put(name, b"value", 60.0, 10, lambda seconds: None)


async def test_what_was_computed_is_written_before_the_next(store: FakeStore) -> None:
    """What waits in line when the command ends would be lost."""
    async with Held() as held:
        await held.kept.connected()
        held.put(b"a")
        held.put(b"b")
        await held.kept.written()
        assert store.held.keys() == {b"a", b"b"}
        assert held.kept.loss(2) is None


async def test_a_store_that_is_not_there_is_told_at_once(store: FakeStore) -> None:
    """Not after an hour of computing."""
    store.down = "connection refused"
    async with Held() as held:
        with pytest.raises(SetupError, match="connection shared: connection refused; without it nothing is kept"):
            await held.kept.connected()


async def test_a_store_that_goes_away_ends_it(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its line is bounded: answers would be dropped one after another."""
    monkeypatch.setattr(module, "FLUSH_S", 0.01)
    async with Held() as held:
        await held.kept.connected()
        store.down = "connection reset"
        held.put(b"a")
        with pytest.raises(SetupError, match="1 answer could not be written"):
            await held.kept.written()
        store.down = None  # else the tier would wait for it at its end


async def test_what_a_store_refuses_is_told(store: FakeStore) -> None:
    """It answers, and keeps nothing: full, or a replica."""
    store.refusal = "out of memory"
    async with Held() as held:
        await held.kept.connected()
        held.put(b"a")
        await held.kept.written()
        assert (held.kept.loss(1) or "").startswith("1 answer was not kept: refused by a store")


async def test_nothing_written_of_what_was_computed_is_told(store: FakeStore) -> None:
    """Rows may have no place in mly's layout; where nothing was computed there is nothing to write."""
    async with Held() as held:
        await held.kept.connected()
        assert held.kept.loss(0) is None
        assert (held.kept.loss(5) or "").startswith("no answer was kept: ")
