"""Any frames in any order: the server never falls, never logs a traceback, holds nothing back, and answers the next."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator

import pytest
from hpack import Encoder
from hyperframe.frame import SettingsFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from mlserve.transport.http1 import Http1Limits, Http1Server
from mlserve.transport.message import HttpRequest, HttpResponse
from mlserve.transport.opening import Opening
from tests.support.http2 import GET, POST, PREFACE, connect

LIMITS = Http1Limits(max_header_bytes=512, max_body_bytes=2048, max_in_flight_bytes=4096, write_timeout_s=0.2)
BLOCKS = [Encoder().encode([(name, value, True) for name, value in fields]) for fields in (GET, POST, GET[:3])]


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


ids = st.sampled_from([0, 1, 1, 3, 3, 5, 7, 2, 2**31 - 1])
flags = st.sampled_from([0, 1, 4, 5, 5, 8, 13, 0x20, 0x25, 0xFF])
fours = st.sampled_from([bytes(4), b"\x00\x00\x00\x01", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x00\x01\x00\x00"])
frames = st.one_of(
    st.builds(frame, st.integers(0, 10), flags, ids, st.binary(max_size=40)),
    st.builds(frame, st.just(1), flags, ids, st.sampled_from(BLOCKS)),
    st.builds(frame, st.just(1), st.sampled_from([4, 5]), st.sampled_from([1, 3, 5, 7]), st.sampled_from(BLOCKS)),
    st.builds(frame, st.just(0), st.sampled_from([0, 1]), ids, st.integers(0, 3000).map(bytes)),
    st.builds(frame, st.sampled_from([3, 8]), st.just(0), ids, fours),
    st.builds(lambda name, value: frame(4, 0, 0, bytes([0, name]) + value), st.integers(0, 8), fours),
    st.builds(frame, st.just(6), st.sampled_from([0, 1]), st.just(0), st.just(bytes(8))),
    st.binary(max_size=30),
)


async def some(request: HttpRequest) -> HttpResponse:
    """Answers now, later, or at length, as the path of a request would have it."""
    if request.method == "POST":
        await asyncio.sleep(0)
    return HttpResponse(200, bytes(len(request.body) * 40 + 10))


class Fuzzed:
    """One server for all examples, on a loop of its own, so that what one leaves behind is found by the next."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.server = Http1Server(some, LIMITS, front=Opening)
        self.runner.run(self.server.start("127.0.0.1", 0))

    def feed(self, raw: bytes, size: int) -> None:
        self.runner.run(self._feed(raw, size))

    async def _feed(self, raw: bytes, size: int) -> None:
        async with connect(self.server, greet=False) as client:
            whole = PREFACE + SettingsFrame(0).serialize() + raw
            await client.send(*[whole[at : at + size] for at in range(0, len(whole), size)])
            # The end comes behind all of it; leaving at once would throw away what is not read yet.
            with contextlib.suppress(OSError):
                client.writer.write_eof()
            await client.ended()
        async with connect(self.server) as client:
            assert (await client.ask(1)).status == 200
        async with asyncio.timeout(5.0):
            while self.server.connections or self.server.in_flight:
                await asyncio.sleep(0)
        assert self.server.in_flight_bytes == 0


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Fuzzed]:
    made = Fuzzed()
    yield made
    made.runner.run(made.server.close(0.0))
    made.runner.close()


@settings(max_examples=200, deadline=None)
@given(sent=st.lists(frames, max_size=25), size=st.sampled_from([7, 100, 10**6]))
def test_any_frames_in_any_order(fuzzed: Fuzzed, sent: list[bytes], size: int) -> None:
    """A bug here is a crash that anybody can cause."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]  # a list is all that it takes
    logging.getLogger().addHandler(handler)
    try:
        fuzzed.feed(b"".join(sent), size)
    finally:
        logging.getLogger().removeHandler(handler)
    assert not [record.getMessage() for record in records if record.exc_info or record.levelno >= logging.ERROR]
