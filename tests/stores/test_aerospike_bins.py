"""What may reach the Aerospike client, and what is made of what comes from it."""

from __future__ import annotations

import aerospike
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.contracts.store import MAX_VALUE_BYTES, Bin, Record
from mlserve.stores.aerospike_bins import ENTRY_BIN, NEVER, entry, is_text, record, unfit


def test_why_some_text_is_kept_from_the_client() -> None:
    """Once the client tells these apart, the rule may go; so that somebody notices, this fails then."""
    assert aerospike.calc_digest("test", "s", "a\0b") == aerospike.calc_digest("test", "s", "a")
    assert aerospike.calc_digest("test", "s", bytearray(b"a\0b")) != aerospike.calc_digest("test", "s", bytearray(b"a"))


@given(st.text(max_size=8), st.text(max_size=8))
def test_keys_that_pass_are_told_apart(one: str, other: str) -> None:
    """Two keys with one digest are two questions with one answer."""
    if is_text(one) and is_text(other):
        same = aerospike.calc_digest("test", "s", one) == aerospike.calc_digest("test", "s", other)
        assert same == (one == other)


@given(st.binary(min_size=1, max_size=500), st.binary(min_size=1, max_size=500))
def test_keys_of_bytes_are_told_apart(one: bytes, other: bytes) -> None:
    """Whatever they hold."""
    same = aerospike.calc_digest("test", "s", bytearray(one)) == aerospike.calc_digest("test", "s", bytearray(other))
    assert same == (one == other)


@pytest.mark.parametrize(
    ("name", "bins", "words"),
    [
        ("a\0b", {"a": 1}, "key is no text"),
        ("\ud800", {"a": 1}, "key is no text"),
        ("k", {}, "nothing to store"),
        ("k", {"": 1}, "1 to 15 bytes"),
        ("k", {"a" * 16: 1}, "1 to 15 bytes"),
        ("k", {"ü" * 8: 1}, "1 to 15 bytes"),
        ("k", {"a\0": 1}, "1 to 15 bytes"),
        ("k", {"\udcff": 1}, "1 to 15 bytes"),
        ("k", {"a": "x\0"}, "bin a: no text"),
        ("k", {"a": "\udcff"}, "bin a: no text"),
        ("k", {"a": 2**63}, "bin a: an integer over 64 bits"),
        ("k", {"a": -(2**63) - 1}, "bin a: an integer over 64 bits"),
    ],
)
def test_what_does_not_fit_says_why(name: str, bins: dict[str, Bin], words: str) -> None:
    """The log must name the bin, or nobody finds the output at fault."""
    reason = unfit(name, bins)
    assert reason is not None
    assert words in reason


@pytest.mark.parametrize("bins", [{"a" * 15: 1}, {"a": -(2**63), "b": 2**63 - 1, "c": float("nan"), "d": "", "ü": "€"}])
def test_what_fits(bins: dict[str, Bin]) -> None:
    """The bounds themselves are inside."""
    assert unfit("k" * 5000, bins) is None


def test_an_entry_is_bytes_of_a_bounded_size() -> None:
    """Anything else was put there by somebody else."""
    largest = b"x" * MAX_VALUE_BYTES
    assert entry({ENTRY_BIN: largest, "other": 1}) == largest
    for theirs in ({}, {"v": b"x"}, {ENTRY_BIN: "x"}, {ENTRY_BIN: bytearray(b"x")}, {ENTRY_BIN: largest + b"x"}):
        assert entry(theirs) is None


def test_a_record_has_bins_of_three_types() -> None:
    """A boolean is an int to Python, and neither to a reader of records."""
    theirs = {"i": 1, "f": 1.0, "s": "x", "t": True, "b": b"x", "l": [1], "m": {}, "g": object()}
    assert record(theirs, 7) == Record({"i": 1, "f": 1.0, "s": "x"}, 7.0)
    assert record({}, NEVER) == Record({}, None)
    assert record({"s": "x" * MAX_VALUE_BYTES, "t": "y"}, 7) is None
