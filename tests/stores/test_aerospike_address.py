"""URLs of Aerospike clusters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.contracts.store import StoreFault
from mlserve.stores.aerospike_address import parse


@pytest.mark.parametrize(
    ("url", "hosts", "namespace"),
    [
        ("aerospike://a", [("a", 3000)], None),
        ("aerospike://a:4000/", [("a", 4000)], None),
        ("aerospike://a,b:4000", [("a", 4000), ("b", 4000)], None),
        ("aerospike://a:1,b,c:3", [("a", 1), ("b", 3), ("c", 3)], None),
        ("aerospike://a:1,b", [("a", 1), ("b", 3000)], None),
        ("aerospike://[::1]:4000,10.0.0.1/test", [("::1", 4000), ("10.0.0.1", 3000)], "test"),
        ("aerospike://a/my%20space/", [("a", 3000)], "my space"),
    ],
)
def test_hosts_ports_and_namespace(url: str, hosts: list[tuple[str, int]], namespace: str | None) -> None:
    """mly's files have one port for all hosts."""
    address = parse(url)
    assert (list(address.hosts), address.namespace) == (hosts, namespace)


def test_it_shows_its_hosts() -> None:
    """For the log: as one would type them."""
    assert str(parse("aerospike://a,[::1]:4000/test")) == "a:4000, [::1]:4000"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("aerospike://", "'' is no host"),
        ("aerospike:///test", "'' is no host"),
        ("aerospike://a,,b", "'' is no host"),
        ("aerospike://a:0", "'a:0' is no host"),
        ("aerospike://a:65536", "'a:65536' is no host"),
        ("aerospike://a:b", "'a:b' is no host"),
        ("aerospike://a/b/c", "one namespace"),
        ("aerospike://a?timeout=3", "no options"),
        ("aerospike://a#b", "no options"),
    ],
)
def test_what_is_no_address_is_told_the_form(url: str, words: str) -> None:
    """Before anything is connected."""
    with pytest.raises(StoreFault, match=words) as failure:
        parse(url)
    assert "expected aerospike://" in str(failure.value)


def test_a_password_is_refused_and_not_repeated() -> None:
    """It would not be used, and the error goes to a log."""
    with pytest.raises(StoreFault, match="not sent") as failure:
        parse("aerospike://user:secret@a:3000")
    assert "secret" not in str(failure.value)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_a_fault(text: str) -> None:
    """A configuration may hold anything."""
    try:
        address = parse(f"aerospike://{text}")
    except StoreFault:
        return
    assert address.hosts
    assert all(host and 0 < port < 65536 for host, port in address.hosts)
