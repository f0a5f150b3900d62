"""A reload would lose connections and what is on its way to them, or leave them open for ever, if these failed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from mlserve import registry
from mlserve.cache.connection import Connection
from mlserve.cache.external import External
from mlserve.config.schema import Config, DatastoreConfig
from mlserve.contracts.store import StoreOptions
from tests.support.fake_store import FakeStore

MADE: list[tuple[StoreOptions, FakeStore]] = []


def make(options: StoreOptions) -> FakeStore:
    MADE.append((options, FakeStore()))
    return MADE[-1][1]


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every store is a fake one."""
    for scheme in ("redis", "lmdb", "aerospike"):
        monkeypatch.setitem(registry.TABLES["stores"], scheme, f"{__name__}:make")
    registry.resolve.cache_clear()
    monkeypatch.setattr(registry, "import_module", lambda name: __import__("sys").modules[name])
    yield
    registry.resolve.cache_clear()
    MADE.clear()


def datastore(connections: list[dict[str, Any]], **members: Any) -> DatastoreConfig:
    """As a model gets it."""
    config = Config.model_validate(
        {
            "Models": [{"ID": "m", "URL": "u", "DataStore": "d"}],
            "Datastores": [{"ID": "d", **members}],
            "Connections": connections,
        }
    )
    store = config.wanted_models()[0].store
    assert store is not None
    return store


SHARED = {"ID": "shared", "URL": "redis://user:secret@host:6379/0"}
DISK = {"ID": "disk", "URL": "lmdb:./cache"}


class Told:
    def __init__(self) -> None:
        self.here: list[str] = []
        self.external = External("/etc/mlserve", self._came, self._went)

    def _came(self, connection: Connection) -> None:
        self.here.append(connection.id)

    def _went(self, connection: Connection) -> None:
        self.here.remove(connection.id)


async def test_tiers_in_their_order_each_with_its_own_place() -> None:
    """L1 is the datastore's own connection, L2 the other; relative folders stand beside the configuration."""
    told = Told()
    lease = told.external.lease(datastore([SHARED, DISK], Connection="shared", L2={"Connection": "disk"}))
    assert [leased.label for leased in lease.tiers] == ["l1", "l2"]
    await told.external.tried(5)
    assert [options.url for options, _ in MADE] == [SHARED["URL"], "lmdb:/etc/mlserve/cache"]
    assert told.here == ["shared", "disk"]
    await lease.release()
    assert told.here == []
    assert all(store.closed for _, store in MADE)


async def test_a_version_can_wait_for_its_tiers() -> None:
    """Else the first requests after a start would pass by what is cached; one that hangs is not waited for."""
    told = Told()
    lease = told.external.lease(datastore([DISK], L2={"Connection": "disk"}))
    assert lease.tiers[0].tier.connection.down == "not connected yet"
    await lease.tried(5)
    assert lease.tiers[0].tier.connection.down is None
    await lease.release()
    lease = told.external.lease(datastore([DISK], L2={"Connection": "disk"}))
    await lease.tried(0)
    assert lease.tiers[0].tier.connection.down == "not connected yet"
    await lease.release()


async def test_an_l2_alone_and_a_disabled_one() -> None:
    """A disk needs no server in front of it; what is disabled is not even connected to."""
    told = Told()
    lease = told.external.lease(datastore([DISK], L2={"Connection": "disk"}))
    assert [leased.label for leased in lease.tiers] == ["l2"]
    none = told.external.lease(datastore([DISK], L2={"Connection": "disk"}, Disabled=True))
    assert none.tiers == ()
    await none.release()
    await lease.release()


async def test_a_reload_keeps_the_connection() -> None:
    """The new version leases before the old one releases; unchanged connections stay the same objects."""
    told = Told()
    old = told.external.lease(datastore([SHARED], Connection="shared", TimeToLiveMs=1000))
    await told.external.tried(5)
    new = told.external.lease(datastore([SHARED], Connection="shared", TimeToLiveMs=2000))
    assert new.tiers[0].tier is old.tiers[0].tier
    await old.release()
    assert not MADE[0][1].closed
    assert len(MADE) == 1
    await new.release()
    assert MADE[0][1].closed


async def test_a_changed_connection_is_another_one() -> None:
    """The old one ends with the last version that uses it, and does not take the new one's metrics along."""
    told = Told()
    old = told.external.lease(datastore([SHARED], Connection="shared"))
    new = told.external.lease(datastore([{**SHARED, "URL": "redis://other"}], Connection="shared"))
    assert new.tiers[0].tier is not old.tiers[0].tier
    await told.external.tried(5)
    await old.release()
    assert [store.closed for _, store in MADE] == [True, False]
    await new.release()


async def test_what_is_in_line_is_written_before_the_end() -> None:
    """A stop, or a model that is removed, loses no answer that the store would take."""
    told = Told()
    lease = told.external.lease(datastore([SHARED], Connection="shared"))
    await told.external.tried(5)
    lease.tiers[0].tier.put(b"name", b"value", 60.0, 10, lambda seconds: None)
    await lease.release()
    assert MADE[0][1].held == {b"name": b"value"}


async def test_a_flush_tells_what_could_not_be_written() -> None:
    """``mlserve warm`` would claim to have filled a store that is away."""
    told = Told()
    lease = told.external.lease(datastore([SHARED], Connection="shared"))
    await told.external.tried(5)
    tier = lease.tiers[0].tier
    tier.put(b"a", b"value", 60.0, 10, lambda seconds: None)
    assert await told.external.flush(5.0) == 0
    MADE[0][1].down = "away"
    tier.put(b"b", b"value", 60.0, 10, lambda seconds: None)
    assert await told.external.flush(0.05) == 1
    MADE[0][1].down = None
    await lease.release()


@pytest.mark.parametrize(
    ("given", "connect_s", "read_s"),
    [
        (None, 1.0, 0.025),
        ({"Connection": 500, "Socket": 100, "Total": 200}, 0.5, 0.2),
        ({"Unit": "sec", "Connection": 2, "Total": 1}, 2.0, 1.0),
    ],
)
async def test_timeouts(given: dict[str, Any] | None, connect_s: float, read_s: float) -> None:
    """mly's members and units; without them a cache gets the time that a cache is worth."""
    told = Told()
    connection = {"ID": "as", "Hostnames": "a,b", "Port": 3001, **({"Timeout": given} if given else {})}
    lease = told.external.lease(datastore([connection], Connection="as", Namespace="n", Dataset="s"))
    await told.external.tried(5)
    options = MADE[0][0]
    assert options.url == "aerospike://a,b:3001"
    assert (options.connect_timeout_s, options.read_timeout_s) == (connect_s, read_s)
    await lease.release()


@pytest.mark.parametrize(
    ("connection", "members", "records"),
    [
        ({"ID": "c", "Hostnames": "a"}, {"Namespace": "n", "Dataset": "s"}, True),
        ({"ID": "c", "URL": "aerospike://a"}, {"Namespace": "n", "Dataset": "s"}, True),
        ({"ID": "c", "URL": "aerospike://a"}, {}, False),
        ({"ID": "c", "URL": "aerospike://a"}, {"Namespace": "n", "Dataset": "s", "Layout": "native"}, False),
        ({"ID": "c", "URL": "redis://a"}, {}, False),
        ({"ID": "c", "URL": "redis://a"}, {"Namespace": "n"}, False),
    ],
)
def test_which_tiers_keep_records_for_clients_of_mly(
    connection: dict[str, Any], members: dict[str, Any], records: bool
) -> None:
    """Their clients would find nothing, or other tools find records they cannot read."""
    assert datastore([connection], Connection="c", **members).keeps_records is records


async def test_a_scheme_in_capitals_is_the_same_store() -> None:
    """The configuration takes it, so it must not be an error at the first request."""
    told = Told()
    lease = told.external.lease(datastore([{"ID": "disk", "URL": "LMDB:./cache"}], Connection="disk"))
    await told.external.tried(5)
    assert [options.url for options, _ in MADE] == ["lmdb:/etc/mlserve/cache"]
    assert told.external.connections[0].down is None
    await lease.release()


async def test_a_store_of_somebody_else_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package registers it by an entry point; its scheme is all that a configuration says."""
    monkeypatch.setattr(registry, "_entry_points", {"stores": {"etcd": f"{__name__}:make"}}.__getitem__)
    told = Told()
    lease = told.external.lease(datastore([{"ID": "e", "URL": "etcd://host"}], Connection="e"))
    await told.external.tried(5)
    assert told.external.connections[0].down is None
    await lease.release()


async def test_waiting_for_connections_can_be_given_up() -> None:
    """Ctrl-C in ``check`` must leave no task behind, and a store that hangs must not hold it up."""
    told = Told()
    lease = told.external.lease(datastore([SHARED], Connection="shared"))
    waiting = asyncio.create_task(told.external.tried(3600))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await told.external.tried(0)
    await lease.release()


async def test_a_release_that_is_cancelled_still_ends_the_connection() -> None:
    """A stop that runs out of time would leave it open, and count it for ever."""
    told = Told()
    lease = told.external.lease(datastore([SHARED, DISK], Connection="shared", L2={"Connection": "disk"}))
    await told.external.tried(5)
    MADE[0][1].delay_s = 3600
    lease.tiers[0].tier.put(b"name", b"value", 60.0, 10, lambda seconds: None)
    releasing = asyncio.ensure_future(lease.release())
    await asyncio.sleep(0.01)
    releasing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await releasing
    while told.here:
        await asyncio.sleep(0)
    assert all(store.closed for _, store in MADE)


def test_what_is_said_of_options_holds_no_password() -> None:
    """They stand in tracebacks."""
    assert "secret" not in repr(StoreOptions("redis://user:secret@host"))
