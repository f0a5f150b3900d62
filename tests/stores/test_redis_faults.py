"""What errors of Redis mean to an operator."""

from __future__ import annotations

import pytest

from mlserve.contracts.store import StoreFault, StoreRefused
from mlserve.stores.redis_address import Address
from mlserve.stores.redis_faults import SHOWN, failed, refused, unreachable


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", "maxmemory-policy"),
        ("READONLY You can't write against a read only replica.", "address of the primary"),
        ("MISCONF Redis is configured to save RDB snapshots", "cannot save"),
        ("NOPERM User x has no permissions to run the 'set' command", "+set"),
        ("LOADING Redis is loading the dataset in memory", "still loads"),
        ("CLUSTERDOWN Hash slot not served", "proxy"),
        ("MOVED 866 127.0.0.1:7001", "proxy"),
        ("NOAUTH Authentication required.", "wants a password"),
        ("ERR DB index is out of range", "databases"),
        ("ERR max number of clients reached", "maxclients"),
        ("ERR something else", "the server says ERR something else"),
    ],
)
def test_says_what_to_do(said: str, means: str) -> None:
    """In our words where we know, and always in the server's."""
    assert means in str(refused(said))
    assert said[:SHOWN] in str(failed(said))


def test_is_refused_only_when_writing() -> None:
    """The chain takes a refused write for the answer of a store that works."""
    assert type(failed("OOM x")) is StoreFault
    assert type(refused("OOM x")) is StoreRefused


def test_is_short_and_one_line() -> None:
    """A server (or what is none) may say anything; the log stays readable."""
    text = str(failed("ERR a\nb\x1b[31m\0" + "x" * 10_000))
    assert len(text) < SHOWN + 50
    assert text.isprintable()


def test_a_network_error_without_words() -> None:
    """The place and the kind are told even so."""
    assert str(unreachable(Address("h", 1), ConnectionResetError())) == "no connection to h:1: ConnectionResetError"
