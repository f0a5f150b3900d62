"""What one HTTP/2 connection has to send: frames about the connection first, then answers, in turn and within windows.

Pure. ``take`` says what to write next, ``settle`` counts what had to stay, ``stalled`` names who does not read on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from mlserve.errors import Overloaded
from mlserve.transport.connection import PROGRESS_BYTES
from mlserve.transport.http2_frames import (
    DATA,
    DEFAULT_WINDOW,
    END_STREAM,
    MAX_FRAME_BYTES,
    Code,
    frame_head,
    headers,
    rst_stream,
)
from mlserve.transport.http2_stream import Answer, Stream
from mlserve.transport.http2_wire import NO_TABLE
from mlserve.transport.inflight import InFlightBytes


class Outbox:
    """``finished`` is called for each stream whose answer was handed out whole.

    ``window`` is what the client takes on the whole connection, ``unsent`` the bytes of bodies that are still here,
    ``taken`` all that was ever handed out.
    """

    def __init__(self, in_flight: InFlightBytes, finished: Callable[[Stream, int], None]) -> None:
        self.window = DEFAULT_WINDOW
        self.unsent = 0
        self.taken = 0
        self._in_flight = in_flight
        self._finished = finished
        self._frames: list[bytes] = []
        self._waiting: deque[Stream] = deque()
        self._table_unsettled = False

    @property
    def pending(self) -> bool:
        """True while anything waits to be sent, or for the client to make room for it."""
        return bool(self._waiting or self._frames)

    def add(self, frame: bytes) -> None:
        """A frame about the connection, or the last of a stream."""
        self._frames.append(frame)

    def interim(self, stream: Stream, block: bytes) -> None:
        """An answer before the answer: 100."""
        self._frames.append(headers(stream.id, self._settled(block), end_stream=False))

    def answer(self, stream: Stream, block: bytes, body: bytes) -> None:
        stream.answer = Answer(block, body)
        self.unsent += len(body)
        self._waiting.append(stream)

    def drop(self, stream: Stream) -> None:
        """``stream`` was reset: forget what is left of its answer."""
        answer = stream.answer
        if answer is not None:
            self.unsent -= answer.left
            self._hold(answer, 0)
            stream.answer = None
            self._waiting.remove(stream)

    def unsettle_table(self) -> None:
        """The client changed the size of its header table, and wants the next block to say that it was heard."""
        self._table_unsettled = True

    def take(self, most: int) -> list[bytes]:
        """About ``most`` bytes to write now, a frame of each answer in turn; empty if there is nothing to send."""
        pieces, self._frames = self._frames, []
        size = sum(map(len, pieces))
        idle = 0
        while idle < len(self._waiting) and size < most:
            stream = self._waiting.popleft()
            added = self._add_next(stream, pieces)
            idle = 0 if added else idle + 1
            size += added
            if stream.answer is not None:
                self._waiting.append(stream)
        self.taken += size
        return pieces

    def settle(self) -> list[Stream]:
        """Count what had to stay as in flight. Returns streams whose answers have to go instead, for lack of room.

        Every connection may keep one answer, as in HTTP/1.1; more of them only while there is room.
        """
        without_room: list[Stream] = []
        for place, stream in enumerate(self._waiting):
            answer = stream.answer
            if answer is None:
                continue
            if place and answer.left > answer.held:
                try:
                    self._in_flight.check(answer.left - answer.held)
                except Overloaded:
                    without_room.append(stream)
                    continue
            self._hold(answer, answer.left)
        return without_room

    def stalled(self) -> list[Stream]:
        """Streams that could be sent on if their clients took them, and have not moved since this was last asked."""
        still: list[Stream] = []
        for stream in self._waiting:
            answer = stream.answer
            if answer is not None:
                if stream.window <= 0 and answer.mark is not None and answer.mark - answer.left < PROGRESS_BYTES:
                    still.append(stream)
                answer.mark = answer.left
        return still

    def _add_next(self, stream: Stream, pieces: list[bytes]) -> int:
        """Add to ``pieces`` what can be sent of one answer, a frame of its body at most. Returns its bytes."""
        answer = stream.answer
        if answer is None:
            return 0
        body, left, added = answer.body, answer.left, 0
        if answer.block is not None:
            head = headers(stream.id, self._settled(answer.block), end_stream=not body)
            pieces.append(head)
            answer.block = None
            added = len(head)
        room = min(left, self.window, stream.window, MAX_FRAME_BYTES)
        if room > 0:
            pieces.append(frame_head(DATA, END_STREAM if room == left else 0, stream.id, room))
            pieces.append(body if room == len(body) else body[answer.at : answer.at + room])
            answer.at += room
            self.window -= room
            stream.window -= room
            self.unsent -= room
            added += room
            left -= room
        if not left:
            if not stream.whole:
                # The answer is all there is: the client need not send the rest (RFC 9113, section 8.1).
                pieces.append(rst_stream(stream.id, Code.NO_ERROR))
            self._hold(answer, 0)
            stream.answer = None
            self._finished(stream, len(body))
        return added

    def _settled(self, block: bytes) -> bytes:
        if not self._table_unsettled:
            return block
        self._table_unsettled = False
        return NO_TABLE + block

    def _hold(self, answer: Answer, size: int) -> None:
        self._in_flight.held += size - answer.held
        answer.held = size
