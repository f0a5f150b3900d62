"""Header blocks of one connection, in pieces and compressed, to heads: bounded before, while and after decoding.

HPACK (RFC 7541) keeps a table that every block may change, so a block has to be decoded even if nobody wants its
request; one that cannot be decoded leaves nothing of the connection to rely on.
"""

from __future__ import annotations

from typing import Final

from hpack import Decoder, HPACKError, OversizedHeaderListError

from mlserve.transport.head import Head
from mlserve.transport.http2_frames import Code, ConnectionFault
from mlserve.transport.http2_head import Fields, check_trailers, read_fields
from mlserve.transport.limits import Http1Limits

_ROOM: Final = 4
"""How many times ``max_header_bytes`` is still decoded: within it a request gets 431, beyond it is an attack."""
_FRAMES: Final = 64
"""Pieces of one block: CONTINUATION frames may be empty, and would never end (CVE-2024-27316)."""
_REMEMBERED: Final = 8
_REMEMBERED_BYTES: Final = 512
"""Heads that are kept, and the longest block of one."""


class HeaderBlocks:
    """Collects the pieces of one block at a time, and decodes blocks in the order in which they came."""

    def __init__(self, limits: Http1Limits) -> None:
        self._limits = limits
        self._most = _ROOM * limits.max_header_bytes
        self._decoder = Decoder(self._most)
        self._pieces: list[bytes] = []
        self._size = 0
        # A client that asks the same again sends the same block. As long as the table is the same too, it means the
        # same, and needs neither decoding nor checking.
        self._known: dict[bytes, Head] = {}
        self._table_moved = False

    def add(self, piece: bytes) -> None:
        """Raises :class:`ConnectionFault` when the block is larger than any that is decoded."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._most or len(self._pieces) > _FRAMES:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "a header block does not end")

    def head(self) -> Head:
        """What the block asks for. Raises as :func:`read_fields` does, and :class:`ConnectionFault` as above."""
        block = self._take()
        head = self._known.get(block)
        if head is None:
            fields = self._decode(block)
            limits = self._limits
            head = read_fields(fields, max_header_bytes=limits.max_header_bytes, max_body_bytes=limits.max_body_bytes)
            if not self._table_moved and len(block) <= _REMEMBERED_BYTES:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[block] = head
        return head

    def trailers(self) -> None:
        """Decode and check a block behind a body. Raises as ``head`` does."""
        check_trailers(self._decode(self._take()))

    def skip(self) -> None:
        """Decode a block that nobody wants."""
        self._decode(self._take())

    def _take(self) -> bytes:
        block = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return block

    def _decode(self, block: bytes) -> Fields:
        table = self._decoder.header_table
        size, newest = table.maxsize, next(iter(table.dynamic_entries), None)
        try:
            fields = list(self._decoder.decode(block, raw=True))
        except OversizedHeaderListError as error:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "a header list is far over MaxHeaderBytes") from error
        except (HPACKError, IndexError) as error:
            raise ConnectionFault(Code.COMPRESSION_ERROR, "a header block cannot be decoded") from error
        self._table_moved = table.maxsize != size or next(iter(table.dynamic_entries), None) is not newest
        if self._table_moved:
            self._known.clear()
        return fields
