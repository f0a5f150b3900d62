"""Strangers would see configuration, metrics and keys, or operators be locked out, if these failed."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from mlserve.errors import Forbidden
from mlserve.transport.access import Access, Guard

LISTED = ["10.1.", "2001:db8::/32"]


@pytest.mark.parametrize(
    ("subnets", "peer", "access", "allowed"),
    [
        ([], "8.8.8.8", Access.ANYONE, True),
        (LISTED, "8.8.8.8", Access.ANYONE, True),
        ([], "8.8.8.8", Access.ALLOWED, True),
        (LISTED, "8.8.8.8", Access.ALLOWED, False),
        (LISTED, "10.1.2.3", Access.ALLOWED, True),
        (LISTED, "10.10.2.3", Access.ALLOWED, False),
        (LISTED, "127.0.0.1", Access.ALLOWED, False),
        ([], "8.8.8.8", Access.LOOPBACK, False),
        ([], "10.1.2.3", Access.LOOPBACK, False),
        ([], "127.0.0.1", Access.LOOPBACK, True),
        ([], "127.8.9.1", Access.LOOPBACK, True),
        ([], "::1", Access.LOOPBACK, True),
        ([], "::ffff:127.0.0.1", Access.LOOPBACK, True),
        ([], "", Access.LOOPBACK, False),
        (LISTED, "10.1.2.3", Access.LOOPBACK, True),
        (LISTED, "2001:db8::5", Access.LOOPBACK, True),
        (LISTED, "127.0.0.1", Access.LOOPBACK, False),
        (LISTED, "", Access.LOOPBACK, False),
    ],
)
def test_who_may_ask(subnets: list[str], peer: str, access: Access, allowed: bool) -> None:
    """With a list, the list alone decides: loopback is no exception, or a proxy on this machine would open it all."""
    with nullcontext() if allowed else pytest.raises(Forbidden):
        Guard(subnets).check(peer, access)


def test_the_error_says_what_to_change() -> None:
    """It names the key, and nothing of the entries."""
    with pytest.raises(Forbidden, match="this machine alone unless AllowedSubnet names"):
        Guard([]).check("8.8.8.8", Access.LOOPBACK)
    with pytest.raises(Forbidden, match="not in AllowedSubnet") as caught:
        Guard(LISTED).check("8.8.8.8", Access.LOOPBACK)
    assert "10.1" not in str(caught.value)


def test_a_new_configuration_guards_from_then_on() -> None:
    """Without a restart, in both directions."""
    guard = Guard([])
    guard.configure(LISTED)
    with pytest.raises(Forbidden):
        guard.check("8.8.8.8", Access.ALLOWED)
    guard.configure([])
    guard.check("8.8.8.8", Access.ALLOWED)


def test_entries_that_mean_nothing_change_nothing() -> None:
    """A list that cannot be read must not open what the one before it closed."""
    guard = Guard(LISTED)
    with pytest.raises(ValueError, match=r"10\.1\.x"):
        guard.configure(["10.1.x"])
    with pytest.raises(Forbidden):
        guard.check("8.8.8.8", Access.ALLOWED)
