"""Plain values come back as they were, whatever JSON would have made of them."""

from __future__ import annotations

import math
import struct
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.cache.plain import pack_all, pack_plain, unpack_all, unpack_plain

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, categories=None))
    | st.binary()
    | st.sampled_from([np.float32(0.1), np.int8(-3), np.bool_(True), np.float64("nan"), np.uint64(2**64 - 1)])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.booleans() | st.floats(allow_nan=False), inner, max_size=4)
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    """Equal in value, type and sign, NaN included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(a, c) and same(b, d) for (a, b), (c, d) in zip(one.items(), other.items(), strict=True)
        )
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return bool(one == other)


@given(st.lists(VALUES, max_size=4))
def test_many_are_packed_as_each_alone(values: list[Any]) -> None:
    """Or what stands in an entry would hang on the rows that were computed beside it."""
    packed = pack_all(values)
    assert packed == list(map(pack_plain, values))
    assert all(map(same, unpack_all(packed), values))


@pytest.mark.parametrize("packed", [[b"1,2", b"[3", b"4]"], [b"1", b"", b"2"], [b"1 2", b""]])
def test_no_value_takes_from_its_neighbours(packed: list[bytes]) -> None:
    """One poisoned entry would change the answers to other rows of the same request."""
    with pytest.raises(orjson.JSONDecodeError):
        unpack_all(packed)


@given(VALUES)
def test_round_trip(value: Any) -> None:
    """A cached answer would print otherwise than a fresh one."""
    assert same(unpack_plain(pack_plain(value)), value)


@pytest.mark.parametrize(
    "value",
    [
        {0: 0.25, 1: 0.75},
        {True: 1, 2.5: None},
        {"a": float("nan"), "b": [1, 2.0, -0.0]},
        ("a", ("b",)),
        2**70,
        "\udcff\ud83d\ude00",
        np.arange(6, dtype=np.int16).reshape(2, 3),
        [np.empty((0, 3), np.float32)],
    ],
    ids=repr,
)
def test_what_json_cannot_carry(value: Any) -> None:
    """Classifiers with integer labels, probabilities that are not numbers, arrays inside of answers."""
    packed = pack_plain(value)
    assert packed[0] == 0
    assert same(unpack_plain(packed), value)


def test_what_json_can_carry_is_json() -> None:
    """The quick way stays the usual one."""
    assert (
        pack_plain({"Adelie": 0.25, "Gentoo": [None, True, "é"]}) == '{"Adelie":0.25,"Gentoo":[null,true,"é"]}'.encode()
    )


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, datetime(2026, 1, 1, tzinfo=UTC), np.array([object()]), [lambda: 1], {(): object()}]
)
def test_other_types_are_refused(value: Any) -> None:
    """They would come back as something else."""
    with pytest.raises(TypeError):
        pack_plain(value)


@given(VALUES.map(pack_plain), st.data())
def test_what_is_cut_or_changed_raises_or_reads(packed: bytes, data: st.DataObject) -> None:
    """Bytes from outside may be wrong in any way: they are one of a few exceptions, or a value."""
    mangled = bytearray(packed)
    for _ in range(data.draw(st.integers(0, 3))):
        mangled[data.draw(st.integers(0, len(mangled) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(mangled[: data.draw(st.integers(0, len(mangled)))])
    with suppress(ValueError, TypeError, struct.error):  # TypeError: a list as a key
        unpack_plain(cut)


def test_claimed_lengths_make_nothing() -> None:
    """A few bytes must not cost gigabytes."""
    huge = (2**32 - 1).to_bytes(4, "little")
    for tag in (b"l", b"m", b"s", b"b", b"i"):
        with pytest.raises(ValueError, match="cut short"):
            unpack_plain(b"\0" + tag + huge)
    nested = b"\0" + b"l\x01\0\0\0" * 100_000
    with pytest.raises(RecursionError):
        unpack_plain(nested)
    name, dims = b"\x07\0\0\0float32", b"\x08\0\0\0" + (2**40).to_bytes(8, "little")
    with pytest.raises(ValueError, match="reshape"):
        unpack_plain(b"\0a" + name + dims + b"\0\0\0\0")
    with pytest.raises(ValueError, match="object"):
        unpack_plain(b"\0a" + b"\x06\0\0\0object" + dims + b"\0\0\0\0")
