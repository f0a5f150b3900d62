"""Laws of sending: every byte once and in order, within every window, and nothing counted when all is gone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.transport import http2_frames as h2
from mlserve.transport.http2_frames import FrameReader
from mlserve.transport.http2_outbox import Outbox
from mlserve.transport.http2_stream import Stream
from mlserve.transport.inflight import InFlightBytes
from mlserve.transport.limits import Http1Limits

windows = st.integers(0, 40_000)


class Ground:
    """An outbox with streams of its own, read back as a client would."""

    def __init__(self, bodies: list[bytes], window: int, most: int = 2**40) -> None:
        self.in_flight = InFlightBytes(most)
        self.finished: list[int] = []
        self.outbox = Outbox(self.in_flight, lambda stream, size: self.finished.append(stream.id))
        self.outbox.window = window
        self.streams = [Stream(2 * n + 1, window, 0.0, Http1Limits(), self.in_flight) for n in range(len(bodies))]
        self.bodies = bodies
        self.got = {stream.id: b"" for stream in self.streams}
        self.ended: list[int] = []
        self.reader = FrameReader()

    def answer_all(self) -> None:
        for stream, body in zip(self.streams, self.bodies, strict=True):
            stream.whole = True
            self.outbox.answer(stream, b"\x88", body)

    def take(self, most: int) -> int:
        raw = b"".join(self.outbox.take(most))
        self.outbox.settle()
        self.reader.feed(raw)
        moved = 0
        while (frame := self.reader.next()) is not None:
            assert frame.stream_id not in self.ended, "nothing comes behind the end"
            if frame.kind == h2.DATA:
                self.got[frame.stream_id] += frame.payload
                moved += len(frame.payload)
            if frame.flags & h2.END_STREAM:
                self.ended.append(frame.stream_id)
        return moved


@given(
    st.lists(st.integers(0, 60_000), min_size=1, max_size=6),
    windows,
    st.lists(st.tuples(st.integers(0, 6), st.integers(1, 30_000), st.integers(1, 50_000)), max_size=12),
)
def test_every_byte_once_in_order_and_within_windows(
    sizes: list[int], window: int, grants: list[tuple[int, int, int]]
) -> None:
    """A client ends the connection for a byte too much, and waits for ever for a byte that was forgotten."""
    ground = Ground([bytes([n + 1]) * size for n, size in enumerate(sizes)], window)
    ground.answer_all()
    room = {stream.id: window for stream in ground.streams}
    shared = window
    for place, increment, most in [*grants, *[(n % 7, 2**20, 10**9) for n in range(40)]]:
        before = {stream_id: len(body) for stream_id, body in ground.got.items()}
        moved = ground.take(most)
        for stream_id, body in ground.got.items():
            room[stream_id] -= len(body) - before[stream_id]
            assert room[stream_id] >= 0
        shared -= moved
        assert shared >= 0
        assert ground.in_flight.held == ground.outbox.unsent == sum(sizes) - sum(map(len, ground.got.values()))
        if place and place <= len(ground.streams):
            ground.streams[place - 1].window += increment
            room[ground.streams[place - 1].id] += increment
        else:
            ground.outbox.window += increment
            shared += increment
    ground.take(10**9)
    assert list(ground.got.values()) == ground.bodies
    assert sorted(ground.finished) == sorted(ground.ended) == [stream.id for stream in ground.streams]
    assert (ground.in_flight.held, ground.outbox.unsent, ground.outbox.pending) == (0, 0, False)


def test_answers_take_turns() -> None:
    """A frame of each, so that the length of one is not the delay of another."""
    ground = Ground([bytes(50_000)] * 3, 10**6)
    ground.answer_all()
    ground.take(3 * 16_384)
    assert [len(body) for body in ground.got.values()] == [16_384] * 3


def test_a_dropped_answer_leaves_nothing() -> None:
    """What a reset stream held is room for others."""
    ground = Ground([bytes(1000)] * 3, 100)
    ground.answer_all()
    ground.take(10**6)
    assert ground.in_flight.held == 2900
    for stream in ground.streams:
        ground.outbox.drop(stream)
        ground.outbox.drop(stream)
    assert (ground.in_flight.held, ground.outbox.unsent, ground.outbox.pending) == (0, 0, False)


@pytest.mark.parametrize(("most", "kept"), [(0, 1), (2500, 2), (10**6, 4)])
def test_one_answer_is_always_kept_and_more_while_there_is_room(most: int, kept: int) -> None:
    """As over HTTP/1.1, where a connection has one."""
    ground = Ground([bytes(1000)] * 4, 0, most)
    ground.answer_all()
    ground.outbox.take(10**6)
    assert len(ground.outbox.settle()) == 4 - kept
    assert ground.in_flight.held == kept * 1000


def test_only_what_its_own_client_holds_up_is_stalled() -> None:
    """A stream that waits for its turn, or has just begun, is not at fault."""
    ground = Ground([bytes(200_000)] * 2, 0)
    ground.outbox.window = 10**6
    ground.answer_all()
    blocked, moving = ground.streams
    ground.take(10**6)
    assert ground.outbox.stalled() == [], "they have had no time yet"
    moving.window = 100_000
    ground.take(10**6)
    assert ground.outbox.stalled() == [blocked]
    moving.window = 10
    assert ground.outbox.stalled() == [blocked], "what could be sent on is ours to send"
