"""HTTP/2 frames (RFC 9113, sections 4 and 6): cut from the bytes of a connection, and built. Knows no stream."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first (section 3.4)."""
MAX_FRAME_BYTES: Final = 16_384
"""The payload of one frame, both ways: what every peer takes, and all that we take (SETTINGS_MAX_FRAME_SIZE)."""
DEFAULT_WINDOW: Final = 65_535
"""What may be sent before the other end gives more room, on a stream and on a connection (section 6.9.2)."""
MAX_WINDOW: Final = 2**31 - 1

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITIZED: Final = 0x20

_HEAD: Final = struct.Struct(">HBBBL")
_SETTING: Final = struct.Struct(">HL")


class Code(IntEnum):
    """Why a stream or a connection ends (section 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB


class Setting(IntEnum):
    """What each end tells the other about itself (section 6.5.2)."""

    HEADER_TABLE_SIZE = 0x1
    ENABLE_PUSH = 0x2
    MAX_CONCURRENT_STREAMS = 0x3
    INITIAL_WINDOW_SIZE = 0x4
    MAX_FRAME_SIZE = 0x5
    MAX_HEADER_LIST_SIZE = 0x6


class ConnectionFault(Exception):
    """The client broke a rule that leaves nothing of the connection to rely on: GOAWAY with ``code``, then the end."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


class StreamFault(Exception):
    """The client broke a rule on one stream: RST_STREAM with ``code``; the others go on."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


class Frame(NamedTuple):
    """One whole frame as it came."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes


class FrameReader:
    """Cuts bytes into frames. Holds no more than what its last piece left of one frame."""

    __slots__ = ("_at", "_data")

    def __init__(self) -> None:
        self._data = b""
        self._at = 0

    @property
    def unfinished(self) -> bool:
        """True while the beginning of a frame waits for its rest."""
        return self._at < len(self._data)

    def feed(self, data: bytes) -> None:
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def next(self) -> Frame | None:
        """The next frame, ``None`` until more is fed.

        Raises :class:`ConnectionFault` for a frame over :data:`MAX_FRAME_BYTES` before its payload has come.
        """
        start = self._at + _HEAD.size
        if len(self._data) < start:
            return None
        high, low, kind, flags, stream_id = _HEAD.unpack_from(self._data, self._at)
        end = start + (high << 8 | low)
        if end - start > MAX_FRAME_BYTES:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"a frame is over {MAX_FRAME_BYTES} bytes")
        if len(self._data) < end:
            return None
        self._at = end
        return Frame(kind, flags, stream_id & 0x7FFFFFFF, self._data[start:end])


def unpadded(frame: Frame) -> bytes:
    """The payload of a DATA or HEADERS frame without padding and without a priority, which nobody here asks for.

    Raises :class:`ConnectionFault` if the padding is longer than what it pads (section 6.1).
    """
    payload, start, end = frame.payload, 0, len(frame.payload)
    if frame.flags & PADDED:
        if not payload:
            raise ConnectionFault(Code.FRAME_SIZE_ERROR, "a padded frame has no room for the length of its padding")
        start, end = 1, end - payload[0]
    if frame.kind == HEADERS and frame.flags & PRIORITIZED:
        start += 5
    if start > end:
        raise ConnectionFault(Code.PROTOCOL_ERROR, "the padding of a frame is longer than the frame")
    return payload[start:end]


def check_size(frame: Frame, size: int, *, on_stream: bool | None = None) -> None:
    """Raises :class:`ConnectionFault` for a frame of another size, or where it has no business to be."""
    if on_stream is not None and on_stream != bool(frame.stream_id):
        raise ConnectionFault(Code.PROTOCOL_ERROR, f"a frame of type {frame.kind} on stream {frame.stream_id}")
    if len(frame.payload) != size:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, f"a frame of type {frame.kind} has {len(frame.payload)} bytes")


def settings_of(payload: bytes) -> list[tuple[int, int]]:
    """The pairs of a SETTINGS frame, unknown ones too.

    Raises :class:`ConnectionFault` if one is cut short or out of its range (section 6.5.2).
    """
    if len(payload) % _SETTING.size:
        raise ConnectionFault(Code.FRAME_SIZE_ERROR, "a SETTINGS frame ends within a setting")
    pairs = list(_SETTING.iter_unpack(payload))
    for name, value in pairs:
        if name == Setting.INITIAL_WINDOW_SIZE and value > MAX_WINDOW:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE is out of range")
        if name == Setting.MAX_FRAME_SIZE and not MAX_FRAME_BYTES <= value < 2**24:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "SETTINGS_MAX_FRAME_SIZE is out of range")
        if name == Setting.ENABLE_PUSH and value > 1:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "SETTINGS_ENABLE_PUSH is neither 0 nor 1")
    return pairs


def frame_head(kind: int, flags: int, stream_id: int, size: int) -> bytes:
    """The nine bytes before a payload of ``size``."""
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream_id)


def settings(values: dict[Setting, int]) -> bytes:
    payload = b"".join(_SETTING.pack(name, value) for name, value in values.items())
    return frame_head(SETTINGS, 0, 0, len(payload)) + payload


SETTINGS_ACK: Final = frame_head(SETTINGS, ACK, 0, 0)


def ping_ack(payload: bytes) -> bytes:
    return frame_head(PING, ACK, 0, 8) + payload


def window_update(stream_id: int, increment: int) -> bytes:
    return frame_head(WINDOW_UPDATE, 0, stream_id, 4) + increment.to_bytes(4, "big")


def rst_stream(stream_id: int, code: Code) -> bytes:
    return frame_head(RST_STREAM, 0, stream_id, 4) + code.to_bytes(4, "big")


def goaway(last_stream_id: int, code: Code, text: str = "") -> bytes:
    payload = last_stream_id.to_bytes(4, "big") + code.to_bytes(4, "big") + text.encode()
    return frame_head(GOAWAY, 0, 0, len(payload)) + payload


def headers(stream_id: int, block: bytes, *, end_stream: bool) -> bytes:
    """A header block as HEADERS, and CONTINUATION where it does not fit."""
    end = END_STREAM if end_stream else 0
    if len(block) <= MAX_FRAME_BYTES:
        return frame_head(HEADERS, end | END_HEADERS, stream_id, len(block)) + block
    pieces = [block[at : at + MAX_FRAME_BYTES] for at in range(0, len(block), MAX_FRAME_BYTES)]
    frames = [frame_head(HEADERS, end, stream_id, len(pieces[0])) + pieces[0]]
    for piece in pieces[1:]:
        last = END_HEADERS if piece is pieces[-1] else 0
        frames.append(frame_head(CONTINUATION, last, stream_id, len(piece)) + piece)
    return b"".join(frames)
