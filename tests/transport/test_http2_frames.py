"""Frames against hyperframe, another implementation: however bytes are cut, and whatever the payload is."""

from __future__ import annotations

from typing import Any

import pytest
from hyperframe import frame as hyper
from hypothesis import given
from hypothesis import strategies as st

from mlserve.transport import http2_frames as h2
from mlserve.transport.http2_frames import Code, ConnectionFault, Frame, FrameReader, Setting

ids = st.integers(1, 2**31 - 1)
payloads = st.binary(max_size=300)
frames = st.one_of(
    st.builds(lambda i, d: hyper.DataFrame(i, d, flags=["END_STREAM"]), ids, payloads),
    st.builds(
        lambda i, d, p: hyper.DataFrame(i, d, pad_length=p, flags=["PADDED"]), ids, payloads, st.integers(0, 255)
    ),
    st.builds(lambda i, d: hyper.HeadersFrame(i, d, flags=["END_HEADERS"]), ids, payloads),
    st.builds(lambda d: hyper.PingFrame(0, d), st.binary(min_size=8, max_size=8)),
    st.builds(lambda i: hyper.RstStreamFrame(i, 8), ids),
)


def parsed(raw: bytes) -> Any:
    frame, length = hyper.Frame.parse_frame_header(memoryview(raw[:9]))
    assert length == len(raw) - 9
    frame.parse_body(memoryview(raw[9:]))
    return frame


def read(*pieces: bytes) -> list[Frame]:
    reader, found = FrameReader(), []
    for piece in pieces:
        reader.feed(piece)
        while (frame := reader.next()) is not None:
            found.append(frame)
    return found


@given(st.lists(frames, max_size=6), st.integers(1, 40))
def test_frames_are_found_however_the_bytes_are_cut(sent: list[hyper.Frame], size: int) -> None:
    """TCP keeps bytes in order, and nothing else of how they were sent."""
    raw = b"".join(frame.serialize() for frame in sent)
    cut = [raw[at : at + size] for at in range(0, len(raw), size)]
    whole = read(raw)
    assert read(*cut) == whole
    assert [(f.kind, f.stream_id) for f in whole] == [(f.type, f.stream_id) for f in sent]
    for ours, theirs in zip(whole, sent, strict=True):
        if isinstance(theirs, (hyper.DataFrame, hyper.HeadersFrame)):
            assert h2.unpadded(ours) == theirs.data


def test_a_frame_is_unfinished_until_its_last_byte() -> None:
    """Slow senders are found by what they have begun."""
    reader, raw = FrameReader(), hyper.PingFrame(0, b"12345678").serialize()
    for byte in raw[:-1]:
        reader.feed(bytes([byte]))
        assert reader.next() is None
        assert reader.unfinished
    reader.feed(raw[-1:])
    assert reader.next() == Frame(h2.PING, 0, 0, b"12345678")
    assert not reader.unfinished


def test_a_frame_over_the_limit_is_refused_by_its_head() -> None:
    """Sixteen megabytes must not be gathered before they are found to be too many."""
    assert len(read(h2.frame_head(h2.DATA, 0, 1, 16_384) + bytes(16_384))) == 1
    with pytest.raises(ConnectionFault) as caught:
        read(h2.frame_head(h2.DATA, 0, 1, 16_385))
    assert caught.value.code is Code.FRAME_SIZE_ERROR


@pytest.mark.parametrize(
    ("flags", "payload", "code"),
    [
        (h2.PADDED, b"", Code.FRAME_SIZE_ERROR),
        (h2.PADDED, b"\x03ab", Code.PROTOCOL_ERROR),
        (h2.PADDED | h2.PRIORITIZED, b"\x01" + bytes(5), Code.PROTOCOL_ERROR),
        (h2.PRIORITIZED, bytes(4), Code.PROTOCOL_ERROR),
    ],
)
def test_padding_longer_than_its_frame_is_refused(flags: int, payload: bytes, code: Code) -> None:
    """Nobody can say what such a frame holds."""
    with pytest.raises(ConnectionFault) as caught:
        h2.unpadded(Frame(h2.HEADERS, flags, 1, payload))
    assert caught.value.code is code


def test_priority_is_cut_off_headers_and_nothing_off_data() -> None:
    """The flag means something else, or nothing, on other frames."""
    raw = hyper.HeadersFrame(1, b"block", pad_length=3, flags=["PADDED", "PRIORITY"]).serialize()
    assert h2.unpadded(read(raw)[0]) == b"block"
    assert h2.unpadded(Frame(h2.DATA, h2.PRIORITIZED, 1, b"body")) == b"body"


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        (Setting.INITIAL_WINDOW_SIZE, 2**31, Code.FLOW_CONTROL_ERROR),
        (Setting.MAX_FRAME_SIZE, 16_383, Code.PROTOCOL_ERROR),
        (Setting.MAX_FRAME_SIZE, 2**24, Code.PROTOCOL_ERROR),
        (Setting.ENABLE_PUSH, 2, Code.PROTOCOL_ERROR),
    ],
)
def test_settings_out_of_range_are_refused_and_their_bounds_are_not(name: Setting, value: int, code: Code) -> None:
    """RFC 9113, section 6.5.2."""
    with pytest.raises(ConnectionFault) as caught:
        h2.settings_of(h2.settings({name: value})[9:])
    assert caught.value.code is code
    inside = value + 1 if value == 16_383 else value - 1
    assert h2.settings_of(h2.settings({name: inside})[9:]) == [(name, inside)]


def test_settings_cut_short_are_refused() -> None:
    """The rest would be taken for another setting."""
    with pytest.raises(ConnectionFault):
        h2.settings_of(bytes(7))
    assert h2.settings_of(b"") == []


def test_what_is_built_is_what_hyperframe_reads() -> None:
    """A field at the wrong place would be seen by every client."""
    assert parsed(h2.settings({Setting.MAX_CONCURRENT_STREAMS: 7})).settings == {3: 7}
    assert "ACK" in parsed(h2.SETTINGS_ACK).flags
    ack = parsed(h2.ping_ack(b"abcdefgh"))
    assert (ack.opaque_data, "ACK" in ack.flags) == (b"abcdefgh", True)
    update = parsed(h2.window_update(5, 1000))
    assert (update.stream_id, update.window_increment) == (5, 1000)
    reset = parsed(h2.rst_stream(7, Code.CANCEL))
    assert (reset.stream_id, reset.error_code) == (7, 8)
    bye = parsed(h2.goaway(9, Code.ENHANCE_YOUR_CALM, "why"))
    assert (bye.last_stream_id, bye.error_code, bye.additional_data) == (9, 11, b"why")


@pytest.mark.parametrize("size", [1, 16_384, 16_385, 40_000])
@pytest.mark.parametrize("end", [False, True])
def test_a_long_header_block_is_continued(size: int, end: bool) -> None:
    """A frame over the limit would end the connection."""
    block = bytes(range(256)) * 200
    found = read(h2.headers(3, block[:size], end_stream=end))
    assert b"".join(frame.payload for frame in found) == block[:size]
    assert [frame.kind for frame in found] == [h2.HEADERS, *[h2.CONTINUATION] * (len(found) - 1)]
    assert [bool(frame.flags & h2.END_HEADERS) for frame in found] == [*[False] * (len(found) - 1), True]
    assert bool(found[0].flags & h2.END_STREAM) is end
