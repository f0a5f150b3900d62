"""Header blocks: every way to say the same is understood, and no way to make the server hold or do too much."""

from __future__ import annotations

import pytest
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from mlserve.errors import HeaderTooLarge
from mlserve.transport.head import Head
from mlserve.transport.http2_blocks import HeaderBlocks
from mlserve.transport.http2_frames import Code, ConnectionFault, StreamFault
from mlserve.transport.http2_head import Refused
from mlserve.transport.limits import Http1Limits

LIMITS = Http1Limits(max_header_bytes=1024)
GET = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/a")]


def head(blocks: HeaderBlocks, *pieces: bytes) -> Head:
    for piece in pieces:
        blocks.add(piece)
    return blocks.head()


def fault(blocks: HeaderBlocks, *pieces: bytes) -> Code:
    with pytest.raises(ConnectionFault) as caught:
        head(blocks, *pieces)
    return caught.value.code


paths = st.sampled_from(["/a", "/b", "/c?x=1", "/d/" + "e" * 100])
values = st.sampled_from(["", "1", "x" * 200])


@given(st.lists(st.tuples(paths, values, st.booleans(), st.booleans()), max_size=30), st.integers(0, 4096))
def test_every_block_is_read_with_the_table_as_it_stands(
    requests: list[tuple[str, str, bool, bool]], table_size: int
) -> None:
    """What is remembered of one block must not be taken for another: with another table the same bytes mean others."""
    encoder, blocks = Encoder(), HeaderBlocks(LIMITS)
    for count, (path, value, huffman, sensitive) in enumerate(requests):
        if count == 10:
            encoder.header_table_size = table_size
        fields = [
            *[(name, said, False) for name, said in GET[:3]],
            (":path", path, sensitive),
            ("x-a", value, sensitive),
        ]
        found = head(blocks, encoder.encode(fields, huffman=huffman))
        said = found.path + (f"?{found.query}" if found.query else "")
        assert (said, found.headers["x-a"]) == (path, value)


def test_the_same_bytes_after_another_block_mean_something_else() -> None:
    """Index 62 is the newest entry: b"\\xbe" is the field that the last block added."""
    blocks = HeaderBlocks(LIMITS)
    plain = Encoder().encode([(name, value, True) for name, value in GET])

    def added(value: bytes) -> bytes:
        return b"\x40\x03x-a" + bytes([len(value)]) + value

    for value in (b"one", b"two"):
        assert head(blocks, plain + added(value)).headers["x-a"] == value.decode()
        for _ in range(2):
            assert head(blocks, plain + b"\xbe").headers["x-a"] == value.decode()
    head(blocks, b"\x20" + plain)
    assert fault(blocks, plain + b"\xbe") is Code.COMPRESSION_ERROR, "the table was emptied"


def test_what_is_refused_is_not_remembered_as_served() -> None:
    """The same bad request is refused every time."""
    blocks = HeaderBlocks(LIMITS)
    for _ in range(3):
        with pytest.raises(Refused):
            head(blocks, Encoder().encode([*GET[:3], (":path", "/../a")]))
        with pytest.raises(StreamFault):
            head(blocks, Encoder().encode(GET[:3]))


def test_skipped_blocks_and_trailers_change_the_table_all_the_same() -> None:
    """A block that is thrown away unread would shift every index after it."""
    encoder, blocks = Encoder(), HeaderBlocks(LIMITS)
    blocks.add(encoder.encode([*GET, ("x-a", "1")]))
    blocks.skip()
    blocks.add(encoder.encode([("x-b", "2")]))
    blocks.trailers()
    found = head(blocks, encoder.encode([*GET, ("x-a", "1"), ("x-b", "2")]))
    assert (found.headers["x-a"], found.headers["x-b"]) == ("1", "2")


def test_a_header_over_the_limit_gets_431_and_the_table_stays_right() -> None:
    """The largest header is served, one byte more is answered, and the connection goes on."""
    encoder, blocks = Encoder(), HeaderBlocks(LIMITS)
    size = sum(len(name) + len(value) + 4 for name, value in GET) + len("x-a") + 4
    fits = [*GET, ("x-a", "y" * (1024 - size))]
    assert head(blocks, encoder.encode(fits)).path == "/a"
    with pytest.raises(Refused) as caught:
        head(blocks, encoder.encode([*fits[:-1], ("x-a", "y" * (1024 - size + 1))]))
    assert isinstance(caught.value.error, HeaderTooLarge)
    assert head(blocks, encoder.encode(fits)).path == "/a"


def test_a_bomb_is_found_while_it_is_decoded() -> None:
    """One byte may stand for four thousand (CVE-2016-6581)."""
    blocks = HeaderBlocks(LIMITS)
    plain = Encoder().encode([(name, value, True) for name, value in GET])
    long = b"\x40\x01x\x7f\x81\x06" + b"y" * 896
    assert len(head(blocks, plain + long).headers["x"]) == 896
    assert fault(blocks, plain + b"\xbe" * 1000) is Code.ENHANCE_YOUR_CALM


def test_a_block_that_does_not_end_is_cut_off() -> None:
    """CONTINUATION frames come without a bound of their own (CVE-2024-27316), empty ones too."""
    assert fault(HeaderBlocks(LIMITS), *[b"x" * 1000] * 5) is Code.ENHANCE_YOUR_CALM
    assert fault(HeaderBlocks(LIMITS), *[b""] * 65) is Code.ENHANCE_YOUR_CALM


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_a_reason(block: bytes) -> None:
    """Nothing that a client can send may raise what nobody catches."""
    blocks = HeaderBlocks(LIMITS)
    for _ in range(2):
        try:
            head(blocks, block)
        except (ConnectionFault, StreamFault, Refused):
            continue
