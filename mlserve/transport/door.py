"""Answers from memory inside ``data_received``: no parser, no task, no turn of the loop.

Stands before a :class:`Connection` and takes a chunk only if that is exactly one whole plain request by the grammar of
:mod:`mlserve.transport.plain`, if nothing of an earlier one is unanswered, and if memory has the answer; every other
chunk goes to the connection untouched. At the first chunk that may be anything but one whole plain request the door
closes for good, so it never has to guess what the connection's parser holds.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import cast

from mlserve.transport.connection import Connection
from mlserve.transport.hits import Hits
from mlserve.transport.plain import read_plain

log = logging.getLogger(__name__)


class Door(asyncio.Protocol):
    """Before ``connection``, until a chunk comes that is not one whole plain request. Called by the event loop."""

    def __init__(self, connection: Connection, hits: Hits) -> None:
        self._connection = connection
        self._hits = hits
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)  # connection_made comes before all else

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connection.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        connection = self._connection
        received = monotonic()
        if not connection.free:
            self._close(data)
            return
        try:
            # Bytes that are known were plain, and within all limits, when they were learnt.
            answer = self._hits.repeated(data, connection.peer, received)
            if answer is None:
                plain = read_plain(data) if connection.has_room(len(data)) else None
                if plain is None:
                    self._close(data)
                    return
                answer = self._hits.recorded(plain, data, connection.peer, received)
        except Exception:  # the client must get an answer whatever fails here
            log.exception("the door failed: a request is answered the ordinary way")
            answer = None
        if answer is None:
            connection.data_received(data)
        else:
            connection.answer(answer)

    def eof_received(self) -> None:
        self._connection.eof_received()

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def _close(self, data: bytes) -> None:
        self._transport.set_protocol(self._connection)
        self._connection.data_received(data)
