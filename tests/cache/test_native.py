"""Entries: what was written comes back whole or not at all, under names that people can read."""

from __future__ import annotations

from struct import pack
from typing import Final
from zlib import crc32

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlserve.cache.layout import GENERATION_BYTES, Damaged, Expired, Stored
from mlserve.cache.native import MAX_LIFE_S, MAX_SKEW_S, VERSION, NativeLayout
from mlserve.cache.payload import encode
from mlserve.contracts.store import MAX_NAME_BYTES, MAX_VALUE_BYTES
from mlserve.types import Rows

LAYOUT: Final = NativeLayout()
GENERATION: Final = bytes.fromhex("0123456789abcdef" * 2)
NOW: Final = 1_800_000_000.25
KEY: Final = GENERATION + b"1.23/30/us/a.com"
PAYLOAD: Final = encode(Rows({"score": np.array([0.5], np.float32), "label": np.array(["a"], object)}, 1))[0]
NO_ROWS: Final = Rows({}, 0)
"""Names here come from keys alone."""


def entry(key: bytes = KEY, payload: bytes = PAYLOAD, now: float = NOW, life_s: float = 900.0) -> bytes:
    value = LAYOUT.write(key, payload, now, life_s)
    assert value is not None
    return value


ENTRY: Final = entry()
KEYS = st.binary(max_size=40).map(lambda text: GENERATION + text)


def names(*keys: bytes) -> list[bytes | None]:
    return LAYOUT.names(keys, NO_ROWS)


@given(KEYS, st.binary(max_size=100), st.floats(0.001, 1e6), st.floats(0, 1))
def test_what_was_written_comes_back(key: bytes, payload: bytes, life_s: float, share: float) -> None:
    """The tier would be of no use, or answer what was never stored, or for longer than it may."""
    value = entry(key, payload, NOW, life_s)
    later = NOW + share * (life_s - 0.001)
    try:
        stored = LAYOUT.read(key, value, later)
    except Expired:
        assert later - NOW > life_s - 0.002
        return
    assert stored.payload == payload
    assert 0 < stored.ttl_s <= life_s - (later - NOW) + 0.001
    assert stored.ttl_s == pytest.approx(life_s - (later - NOW), abs=0.002)
    assert stored.age_s == pytest.approx(later - NOW, abs=0.002)


def test_one_flipped_bit_is_damage() -> None:
    """Memory and disks fail: a wrong answer, or one that lives for ever, would look like a good one."""
    for bit in range(8 * len(ENTRY)):
        mangled = bytearray(ENTRY)
        mangled[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Damaged):
            LAYOUT.read(KEY, bytes(mangled), NOW)


def test_an_entry_cut_short_is_damage() -> None:
    """Half an answer is none."""
    for size in range(len(ENTRY)):
        with pytest.raises(Damaged):
            LAYOUT.read(KEY, ENTRY[:size], NOW)


@given(st.binary(max_size=120), st.booleans())
def test_foreign_bytes_are_damage(data: bytes, of_our_version: bool) -> None:
    """Shared stores hold what others wrote: a miss, not an exception that nobody catches."""
    with pytest.raises(Damaged):
        LAYOUT.read(KEY, bytes([VERSION]) + data if of_our_version else data, NOW)


@given(st.lists(st.tuples(st.integers(0, len(ENTRY) - 1), st.integers(1, 255)), min_size=1, max_size=4))
def test_a_few_wrong_bytes_are_damage(changes: list[tuple[int, int]]) -> None:
    """A burst of errors must not pass where one does not."""
    mangled = bytearray(ENTRY)
    for place, change in dict(changes).items():
        mangled[place] ^= change
    with pytest.raises(Damaged):
        LAYOUT.read(KEY, bytes(mangled), NOW)


def test_bytes_left_over_are_damage() -> None:
    """They would become part of the payload."""
    with pytest.raises(Damaged):
        LAYOUT.read(KEY, ENTRY + b"\0", NOW)


@given(KEYS)
@example(KEY[:-1])
@example(KEY + b"\0")
@example(KEY + PAYLOAD[:1])
@example(bytes(GENERATION_BYTES) + KEY[GENERATION_BYTES:])
def test_the_entry_of_another_row_is_damage(other: bytes) -> None:
    """Digests collide, and others may write under our names: it would answer the wrong row, or the wrong version."""
    if other != KEY:
        with pytest.raises(Damaged, match="another row"):
            LAYOUT.read(other, ENTRY, NOW)


def forged(version: int, stored_ms: int, expires_ms: int) -> bytes:
    """An entry whose checksum is right."""
    body = pack("<QQI", stored_ms, expires_ms, len(KEY)) + KEY + PAYLOAD
    return pack("<BI", version, crc32(body, version)) + body


def test_the_form_of_an_entry_is_kept() -> None:
    """A server of this version and those already running share stores: a changed form needs another version byte."""
    stored_ms = int(NOW * 1000)
    assert forged(1, stored_ms, stored_ms + 900_000) == ENTRY
    assert LAYOUT.read(KEY, ENTRY, NOW) == Stored(PAYLOAD, 900.0, 0.0)


def test_an_entry_of_another_version_is_damage() -> None:
    """Its bytes may mean anything."""
    stored_ms = int(NOW * 1000)
    for version in (VERSION - 1, VERSION + 1, 255):
        with pytest.raises(Damaged, match=f"version {version}, expected {VERSION}"):
            LAYOUT.read(KEY, forged(version, stored_ms, stored_ms + 900_000), NOW)


def test_an_entry_ends_with_its_time() -> None:
    """Stores that count in whole seconds, or have no lives at all, still give it back."""
    assert LAYOUT.read(KEY, ENTRY, NOW + 899.9).ttl_s == pytest.approx(0.1)
    for late in (900.0, 900.001, 1e9):
        with pytest.raises(Expired):
            LAYOUT.read(KEY, ENTRY, NOW + late)


def test_clocks_may_differ_a_little_and_never_prolong_a_life() -> None:
    """A machine whose clock is ahead would leave answers that outlive their time everywhere else."""
    ahead = entry(now=NOW + MAX_SKEW_S - 1)
    assert LAYOUT.read(KEY, ahead, NOW) == Stored(PAYLOAD, 900.0, 0.0)
    with pytest.raises(Damaged, match="in the future"):
        LAYOUT.read(KEY, entry(now=NOW + MAX_SKEW_S + 1), NOW)


def test_nothing_lives_for_ever() -> None:
    """Not what is written with an endless life, and not what claims one."""
    for life_s in (MAX_LIFE_S, 2 * MAX_LIFE_S, float("inf")):
        assert LAYOUT.read(KEY, entry(life_s=life_s), NOW).ttl_s == pytest.approx(MAX_LIFE_S)
    stored_ms = int(NOW * 1000)
    for expires_ms in (2**64 - 1, stored_ms + int(MAX_LIFE_S * 1000) + 1, stored_ms - 1, 0):
        with pytest.raises(Damaged, match="a life of"):
            LAYOUT.read(KEY, forged(VERSION, stored_ms, expires_ms), NOW)


def test_what_a_store_would_not_take_does_not_fit() -> None:
    """The contract of stores bounds values; a larger one found there is not ours."""
    room = MAX_VALUE_BYTES - (len(ENTRY) - len(PAYLOAD))
    largest = entry(payload=bytes(room))
    assert len(largest) == MAX_VALUE_BYTES
    assert LAYOUT.read(KEY, largest, NOW).payload == bytes(room)
    assert LAYOUT.write(KEY, bytes(room + 1), NOW, 900.0) is None
    assert LAYOUT.write(KEY + bytes(MAX_VALUE_BYTES), b"", NOW, 900.0) is None
    with pytest.raises(Damaged, match="expected 25 to"):
        LAYOUT.read(KEY, largest + b"\0", NOW)


def test_names_can_be_read() -> None:
    """An operator looks for a model's rows in redis-cli, and deletes those of an old version by prefix."""
    assert names(KEY) == [b"mlserve:0123456789abcdef0123456789abcdef:1.23/30/us/a.com"]


TEXTS = st.binary(max_size=8) | st.sampled_from([b"", b"#", b"x" * 458, b"x" * 459, b"x" * 460, b"y" * 10_000])


@given(st.lists(st.tuples(st.sampled_from([GENERATION, bytes(16)]), TEXTS), max_size=8, unique=True))
def test_rows_have_names_of_their_own_that_stores_take(parts: list[tuple[bytes, bytes]]) -> None:
    """Two rows under one name would drive each other out; a longer name is refused."""
    found = names(*(generation + text for generation, text in parts))
    assert len(set(found)) == len(parts)
    assert all(name is not None and len(name) <= MAX_NAME_BYTES for name in found)


def test_no_text_passes_for_a_digest() -> None:
    """A caller who may choose a string could aim at the entry of a long row."""
    (long,) = names(GENERATION + b"x" * 1000)
    assert long is not None
    text = long[len(b"mlserve:") + 2 * GENERATION_BYTES + 1 :]
    assert text.startswith(b"#")
    assert names(GENERATION + text) != [long]
