"""Aerospike's wire protocol as a server of one node sees it: bytes to requests, answers to bytes. No I/O, no state.

A frame is eight bytes (version 2, type, body length in 48 bits) and a body. The body of type 1 is lines of text (info);
that of type 3 is messages: 22 bytes, then fields (what it is about), then ops (what to do with which bin). A batch is
a message whose field 41 holds many small ones. Integers are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

HEADER_BYTES: Final = 8
INFO: Final = 1
MESSAGE: Final = 3
EPOCH: Final = 1_262_304_000
"""Expiries count from 2010-01-01; this is that day in Unix time."""

# Fields.
NAMESPACE, SET, USER_KEY, DIGEST, BATCH = 0, 1, 2, 4, 41
# Ops.
READ, WRITE, TOUCH = 1, 2, 11
# Bits of info1, info2 and info3.
READS, ALL_BINS, NO_BINS = 0x01, 0x02, 0x20
WRITES, DELETES, GENERATION_EQUAL, CREATE_ONLY, EVERY_OP = 0x01, 0x02, 0x04, 0x20, 0x80
LAST, UPDATE_ONLY, CREATE_OR_REPLACE, REPLACE_ONLY = 0x01, 0x08, 0x10, 0x20
# What a row of a batch brings along.
_REPEAT, _INFO, _GENERATION, _TTL, _INFO4 = 0x01, 0x02, 0x04, 0x08, 0x10

_MESSAGE: Final = struct.Struct(">BBBBBBIIIHH")
_DIGEST_BYTES: Final = 20


@dataclass(frozen=True, slots=True)
class Op:
    """One bin of a request or an answer. ``kind`` is the particle type; ``value`` is as it travels."""

    code: int
    name: bytes = b""
    kind: int = 0
    value: bytes = b""

    def encoded(self) -> bytes:
        size = 4 + len(self.name) + len(self.value)
        return struct.pack(">IBBBB", size, self.code, self.kind, 0, len(self.name)) + self.name + self.value


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked about one record, or a batch. ``ttl`` is as sent: 0, seconds, or a special value."""

    info1: int = 0
    info2: int = 0
    info3: int = 0
    generation: int = 0
    ttl: int = 0
    timeout_ms: int = 0
    fields: Mapping[int, bytes] = field(default_factory=dict)
    ops: Sequence[Op] = ()
    index: int = 0
    """Its row of a batch."""

    @property
    def namespace(self) -> str:
        return self.fields.get(NAMESPACE, b"").decode()

    @property
    def digest(self) -> bytes:
        return self.fields.get(DIGEST, b"")


@dataclass(frozen=True, slots=True)
class Answer:
    """About one record, or (``last``) the end of a batch. ``expiry`` counts from :data:`EPOCH`; 0 is never."""

    result: int = 0
    generation: int = 0
    expiry: int = 0
    ops: Sequence[Op] = ()
    index: int = 0
    last: bool = False

    def encoded(self) -> bytes:
        info3 = LAST if self.last else 0
        head = (_MESSAGE.size, 0, 0, info3, 0, self.result, self.generation, self.expiry, self.index, 0, len(self.ops))
        return _MESSAGE.pack(*head) + b"".join(op.encoded() for op in self.ops)


def head(header: bytes) -> tuple[int, int]:
    """Type and body length of the frame that begins with these eight bytes. Raises :class:`ValueError`."""
    if header[0] != 2:
        raise ValueError(f"version {header[0]}")
    return header[1], int.from_bytes(header[2:HEADER_BYTES])


def frame(kind: int, body: bytes) -> bytes:
    """``body`` with its eight bytes in front."""
    return bytes([2, kind]) + len(body).to_bytes(6) + body


def info_names(body: bytes) -> list[str]:
    """What an info request asks for."""
    return body.decode().splitlines()


def info_answer(names: Sequence[str], value_of: Callable[[str], str | None]) -> bytes:
    """The body that answers ``names`` in their order; ``None`` is a name that the server does not know."""
    lines = []
    for name in names:
        value = value_of(name)
        lines.append(f"{name}\t{'ERROR:4:unrecognized command' if value is None else value}\n")
    return "".join(lines).encode()


def request(body: bytes) -> Request:
    """The message of a request. Raises :class:`struct.error` if it is cut short."""
    _, info1, info2, info3, _, _, generation, ttl, timeout_ms, fields, ops = _MESSAGE.unpack_from(body)
    reader = _Reader(body, _MESSAGE.size)
    return Request(info1, info2, info3, generation, ttl, timeout_ms, reader.fields(fields), reader.ops(ops))


def rows(batch: Request) -> Iterator[Request]:
    """The requests in a batch's field 41, each with its digest among its fields."""
    reader = _Reader(batch.fields[BATCH], 0)
    count, _ = reader.take(">IB")
    row = Request()
    for _ in range(count):
        (index,) = reader.take(">I")
        digest = reader.bytes(_DIGEST_BYTES)
        (kind,) = reader.take(">B")
        if not kind & _REPEAT:
            row = reader.row(kind)
        yield replace(row, index=index, fields={**row.fields, DIGEST: digest})


class _Reader:
    """Takes one thing after the other from ``data``."""

    def __init__(self, data: bytes, offset: int) -> None:
        self._data = data
        self._offset = offset

    def take(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from(layout, self._data, self._offset)
        self._offset += struct.calcsize(layout)
        return values

    def bytes(self, size: int) -> bytes:
        (taken,) = struct.unpack_from(f"{size}s", self._data, self._offset)
        self._offset += size
        return bytes(taken)

    def fields(self, count: int) -> dict[int, bytes]:
        found = {}
        for _ in range(count):
            size, kind = self.take(">IB")
            found[kind] = self.bytes(size - 1)
        return found

    def ops(self, count: int) -> list[Op]:
        found = []
        for _ in range(count):
            size, code, kind, _, named = self.take(">IBBBB")
            name = self.bytes(named)
            found.append(Op(code, name, kind, self.bytes(size - 4 - named)))
        return found

    def row(self, kind: int) -> Request:
        (info1,) = self.take(">B")
        info2, info3 = self.take(">BB") if kind & _INFO else (0, 0)
        if kind & _INFO4:
            self.take(">B")
        (generation,) = self.take(">H") if kind & _GENERATION else (0,)
        (ttl,) = self.take(">I") if kind & _TTL else (0,)
        fields, ops = self.take(">HH")
        return Request(info1, info2, info3, generation, ttl, 0, self.fields(fields), self.ops(ops))
