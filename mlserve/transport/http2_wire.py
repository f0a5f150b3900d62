"""An :class:`HttpResponse` as the header block of an HTTP/2 answer.

Every field is written out, by a number of the static table where it has one (RFC 7541, appendix A): a dynamic table
would be the client's to size, ours to hold and search, and would save bytes of answers that are mostly body.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from typing import Final

from mlserve.transport.message import HttpResponse
from mlserve.transport.wire import BODILESS, check_name, check_value

NO_TABLE: Final = b"\x20"
"""Tells the client's decoder that we use no dynamic table (RFC 7541, section 6.3)."""
CONTINUE: Final = b"\x08\x03100"
""":status 100"""

_INDEXED_STATUS: Final = {200: 8, 204: 9, 206: 10, 304: 11, 400: 12, 404: 13, 500: 14}
_STATUS: Final = 8
_CONTENT_LENGTH: Final = 28
_CONTENT_TYPE: Final = 31
_DATE: Final = 33
_NAMES: Final = {"allow": 22, "cache-control": 24, "retry-after": 53}


def encode(response: HttpResponse, *, head_only: bool) -> tuple[bytes, bytes]:
    """Header block and body. Raises :class:`ValueError` for headers that HTTP/1.1 would not let out either."""
    bodiless = response.status in BODILESS
    own = b"".join([_own(name, value) for name, value in response.headers.items()]) if response.headers else b""
    length = b"" if bodiless else _length(len(response.body))
    block = _start(response.status, response.content_type) + length + own + _date(int(time.time()))
    return block, b"" if head_only or bodiless else response.body


@lru_cache(maxsize=256)
def _start(status: int, content_type: str) -> bytes:
    known = _INDEXED_STATUS.get(status)
    line = bytes([0x80 | known]) if known is not None else _named(_STATUS) + _text(str(status).encode())
    if status in BODILESS:
        return line
    check_value("Content-Type", content_type)
    return line + _named(_CONTENT_TYPE) + _text(content_type.encode("latin-1"))


@lru_cache(maxsize=256)
def _length(size: int) -> bytes:
    return _named(_CONTENT_LENGTH) + _text(b"%d" % size)


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return _named(_DATE) + _text(formatdate(second, usegmt=True).encode())


def _own(name: str, value: str) -> bytes:
    check_value(name, value)
    return _name(name) + _text(value.encode("latin-1"))


@lru_cache(maxsize=64)
def _name(name: str) -> bytes:
    check_name(name)
    low = name.lower()
    return _named(_NAMES[low]) if low in _NAMES else b"\x00" + _text(low.encode())


def _named(index: int) -> bytes:
    """A field that goes into no table, with a name of the static one (RFC 7541, section 6.2.2)."""
    return _integer(index, 4)


def _text(octets: bytes) -> bytes:
    return _integer(len(octets), 7) + octets


def _integer(value: int, bits: int) -> bytes:
    """RFC 7541, section 5.1, with the bits before the prefix zero."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    out = bytearray([most])
    value -= most
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
