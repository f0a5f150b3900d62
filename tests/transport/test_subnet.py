"""Administrative routes would open to strangers, or close to their operators, if these rules were wrong."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.transport.subnet import Subnets, is_loopback

octet = st.integers(0, 255)


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        ("10.0.0.0/8", "10.255.1.2", "11.0.0.1"),
        ("10.0.0", "10.0.0.7", "10.0.1.7"),
        ("10.0.0.", "10.0.0.200", "10.0.10.1"),
        ("10", "10.9.9.9", "100.0.0.1"),
        ("10.0.0.1", "10.0.0.1", "10.0.0.10"),
        ("192.168.1.0/24", "::ffff:192.168.1.4", "::ffff:192.168.2.4"),
        ("::ffff:10.0.0.0/104", "10.1.2.3", "11.1.2.3"),
        ("2001:db8::/32", "2001:db8:1::5", "2001:db9::5"),
        ("fe80::/10", "fe80::1%eth0", "2001::1"),
        ("::1", "::1", "::2"),
        (" 127.0.0.1 ", "127.0.0.1", "127.0.0.2"),
    ],
)
def test_entries_match_whole_octets_and_nothing_beside(entry: str, inside: str, outside: str) -> None:
    """A prefix that matched as text would let 10.0.0.10 in where 10.0.0.1 was meant."""
    assert inside in Subnets([entry])
    assert outside not in Subnets([entry])


@pytest.mark.parametrize("address", ["", "localhost", "10.0.0", "10.0.0.1.2", "unix:", "::g"])
def test_what_is_no_address_is_in_no_subnet(address: str) -> None:
    """A peer without an address (a unix socket) must not slip through a wide-open entry."""
    assert address not in Subnets(["0.0.0.0/0", "::/0"])
    assert not is_loopback(address)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        ".",
        "10..1",
        "256",
        "10.0.0.1.",
        "10.0.0.0.0",
        "a.b",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "2001::/129",
        "10.-1",
        "٣",
    ],
)
def test_an_entry_that_cannot_be_read_is_named(entry: str) -> None:
    """A typing error must stop the start, not silently guard nothing."""
    with pytest.raises(ValueError, match="AllowedSubnet") as raised:
        Subnets([entry])
    assert repr(entry) in str(raised.value)


def test_empty_is_false_and_holds_nobody() -> None:
    """The caller decides what an empty list means, so it must be able to tell."""
    assert not Subnets([])
    assert Subnets(["10."])
    assert "127.0.0.1" not in Subnets([])


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback_in_all_its_spellings(address: str) -> None:
    """Debug routes open to loopback only: a dual-stack socket spells it differently."""
    assert is_loopback(address)
    assert not is_loopback("10.0.0.1")


@given(st.lists(octet, min_size=1, max_size=4), st.tuples(octet, octet, octet, octet))
def test_a_prefix_holds_exactly_the_addresses_that_begin_with_its_octets(
    prefix: list[int], address: tuple[int, int, int, int]
) -> None:
    """The law behind "matched by whole octets", for plain and IPv4-mapped peers."""
    text = str(IPv4Address(bytes(address)))
    subnets = Subnets([".".join(map(str, prefix))])
    expected = list(address[: len(prefix)]) == prefix
    assert (text in subnets) is expected
    assert (f"::ffff:{text}" in subnets) is expected
