"""Clients would look where nothing lies, end at a connection they cannot use, or learn a password, if these failed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.transport.mly.config import config_document
from mlserve.transport.mly.tiers import public_address
from mlserve.types import DType, TensorSpec
from tests.support.ctr import SCORE, configured

AEROSPIKE = {"ID": "aero", "Hostnames": "a1,a2", "Port": 3100, "Timeout": {"Socket": 50, "Total": 60}}
REDIS = {"ID": "shared", "URL": "redis://user:secret@cache:6380/2"}
LMDB = {"ID": "disk", "URL": "lmdb:./cache"}
DEFAULTS = {"Unit": "ms", "Connection": 800, "Socket": 400, "Total": 450}
LIFE = {"TimeToLiveMs": 900000, "RetryTimeMs": 5000}


def shown(store: dict[str, Any], *connections: dict[str, Any], outputs: tuple[TensorSpec, ...] = ()) -> dict[str, Any]:
    model = {"ID": "m", "URL": "m", "DataStore": "d"}
    config, face = configured(model, {"ID": "d", **store}, connections=list(connections), outputs=outputs or None)
    return config_document(config.wanted_models()[0], face, face.outputs or (), cached=True)


def test_a_tier_that_mly_s_clients_read() -> None:
    """They connect by this very entry, and look in this set."""
    document = shown({"Connection": "aero", "Namespace": "test", "Dataset": "m", "ReadOnly": True}, AEROSPIKE)
    timeout = {"Unit": "ms", "Connection": 800, "Socket": 50, "Total": 60}
    assert document["Connections"] == [{"ID": "aero", "Hostnames": "a1,a2", "Port": 3100, "Timeout": timeout}]
    members = {name: document[name] for name in ("Connection", "Namespace", "Dataset", *LIFE, "ReadOnly")}
    assert members == {"Connection": "aero", "Namespace": "test", "Dataset": "m", **LIFE, "ReadOnly": True}
    assert list(document)[:9] == ["Connections", "ID", "Cache", *members]
    assert "L2" not in document


def test_two_tiers_and_their_own_settings() -> None:
    """Each its own lives; what L2 does not say is the datastore's."""
    second = {"ID": "far", "URL": "aerospike://[::1],b:3002/later"}
    store = {
        "Connection": "aero",
        "Namespace": "test",
        "Dataset": "m",
        "TimeToLiveMs": 1000,
        "L2": {"Connection": "far", "Dataset": "n", "RetryTimeMs": 7, "ReadOnly": True},
    }
    document = shown(store, AEROSPIKE, second)
    assert [it["ID"] for it in document["Connections"]] == ["aero", "far"]
    assert document["Connections"][1] == {"ID": "far", "Hostnames": "::1,b", "Port": 3002, "Timeout": DEFAULTS}
    assert document["L2"] == {
        "Connection": "far",
        "Namespace": "later",
        "Dataset": "n",
        "TimeToLiveMs": 1000,
        "RetryTimeMs": 7,
        "ReadOnly": True,
    }
    assert (document["TimeToLiveMs"], document["RetryTimeMs"]) == (1000, 5000)


def test_one_connection_for_two_tiers_stands_once() -> None:
    """Clients know connections by their ID."""
    tier = {"Connection": "aero", "Namespace": "test"}
    document = shown({**tier, "Dataset": "a", "L2": {**tier, "Dataset": "b"}}, AEROSPIKE)
    assert len(document["Connections"]) == 1
    assert (document["Dataset"], document["L2"]["Dataset"]) == ("a", "b")


def test_a_set_that_nobody_named_is_the_store_s_own() -> None:
    """The server writes there, so clients must look there."""
    (tier,) = shown({"Connection": "far", "Layout": "native"}, {"ID": "far", "URL": "aerospike://h/test"})["Tiers"]
    assert (tier["Namespace"], tier["Dataset"]) == ("test", "mlserve")


def test_hosts_of_another_port_than_the_first_are_left_out() -> None:
    """mly has one port for all; any host knows the rest of its cluster."""
    url = "aerospike://a:3001,b:3002,c:3001"
    document = shown({"Connection": "far", "Namespace": "test", "Dataset": "m"}, {"ID": "far", "URL": url})
    assert document["Connections"] == [{"ID": "far", "Hostnames": "a,c", "Port": 3001, "Timeout": DEFAULTS}]


def test_tiers_that_mly_s_clients_cannot_read_are_ours_alone() -> None:
    """Such a client takes every connection for Aerospike, and a failure to connect ends it."""
    document = shown(
        {"Connection": "shared", "L2": {"Connection": "disk", "TimeToLiveMs": 5, "ReadOnly": True}}, REDIS, LMDB
    )
    assert document["Connections"] is None
    assert (document["Connection"], document["Namespace"], document["Dataset"]) == ("", "", "")
    assert "L2" not in document
    assert document["Tiers"] == [
        {
            "Tier": "l1",
            "Connection": "shared",
            "Layout": "native",
            "URL": "redis://cache:6380/2",
            "TimeToLiveMs": 900000,
        },
        {"Tier": "l2", "Connection": "disk", "Layout": "native", "TimeToLiveMs": 5, "ReadOnly": True},
    ]
    assert list(document)[-1] == "Tiers"


def test_the_one_tier_that_they_can_read_is_their_first() -> None:
    """They use an L2 only beside an L1."""
    document = shown(
        {"Connection": "shared", "ReadOnly": True, "L2": {"Connection": "aero", "Namespace": "test", "Dataset": "m"}},
        REDIS,
        AEROSPIKE,
    )
    assert [it["ID"] for it in document["Connections"]] == ["aero"]
    assert (document["Connection"], document["Dataset"]) == ("aero", "m")
    assert "ReadOnly" not in document
    assert "L2" not in document
    assert [(it["Tier"], it["Layout"]) for it in document["Tiers"]] == [("l1", "native"), ("l2", "mly")]
    assert document["Tiers"][1]["URL"] == "aerospike://a1,a2:3100"


def test_aerospike_of_our_own_layout() -> None:
    """Its entries are no records: a Go client would fail on each."""
    store = {"Connection": "aero", "Namespace": "test", "Dataset": "m", "Layout": "native"}
    document = shown(store, AEROSPIKE)
    assert document["Connections"] is None
    (tier,) = document["Tiers"]
    assert (tier["Layout"], tier["Namespace"], tier["Dataset"]) == ("native", "test", "m")


def test_a_tier_that_cannot_hold_such_answers_is_not_told() -> None:
    """The server writes none there; clients would ask in vain for every row."""
    wide = TensorSpec("embedding", DType.FLOAT32, (None, 8))
    document = shown({"Connection": "aero", "Namespace": "test", "Dataset": "m"}, AEROSPIKE, outputs=(wide,))
    assert document["Connections"] is None
    assert "Tiers" not in document
    assert shown({"Connection": "aero", "Namespace": "test", "Dataset": "m"}, AEROSPIKE, outputs=(SCORE,))["Tiers"]


def test_an_address_that_no_store_can_use() -> None:
    """The connection is down for ever; the documents are there all the same."""
    broken = {"ID": "far", "URL": "aerospike://user:secret@h"}
    document = shown({"Connection": "far", "Namespace": "test", "Dataset": "m"}, broken)
    assert document["Connections"] is None
    assert "secret" not in str(document)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("rediss://:secret@h", "rediss://h"),
        ("redis://u:se/cr@et@h:1/3", "redis://h:1/3"),
        ("redis://h?password=secret", "redis://h"),
        ("redis://h/secret", "redis://h"),
        ("redis://[::1]:6379", "redis://[::1]:6379"),
        ("aerospike://a,b:3000/test", "aerospike://a,b:3000"),
        ("unix:///run/redis.sock?db=1", None),
        ("lmdb:./secret", None),
        ("lmdb:///var/secret", None),
        ("redis://u:secret word@h", "redis://h"),
    ],
)
def test_an_address_without_what_is_secret(url: str, shown: str | None) -> None:
    """The document is open to everybody."""
    assert public_address(url) == shown


@given(user=st.text(max_size=8), password=st.text(min_size=3, max_size=12))
def test_no_password_passes(user: str, password: str) -> None:
    """However badly it is escaped."""
    address = public_address(f"redis://{user}:~{password}~@cache:6379/1")
    assert address is None or f"~{password}~" not in address
