"""Answers from memory inside ``data_received``: no parser, no task, no turn of the loop.

Stands before a :class:`Connection` and takes a chunk only if that is exactly one whole plain request by the grammar of
:mod:`mlserve.transport.plain`, if nothing of an earlier one is unanswered, and if the answer is recorded in memory;
every other chunk goes to the connection untouched. At the first chunk that may be anything but one whole plain request
the door closes for good, so it never has to guess what the connection's parser holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from time import monotonic
from types import MappingProxyType
from typing import Final, cast

from mlserve.transport.connection import Connection
from mlserve.transport.message import HttpRequest, HttpResponse
from mlserve.transport.plain import read_plain

log = logging.getLogger(__name__)

AtOnce = Callable[[HttpRequest], HttpResponse | None]
"""The answer to a plain request, whose headers change nothing and are left out; ``None``: ask the ordinary way."""

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class Door(asyncio.Protocol):
    """Before ``connection``, until a chunk comes that is not one whole plain request. Called by the event loop."""

    def __init__(self, connection: Connection, at_once: AtOnce) -> None:
        self._connection = connection
        self._at_once = at_once
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)  # connection_made comes before all else

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connection.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        received = monotonic()
        connection = self._connection
        plain = read_plain(data) if connection.free_for(len(data)) else None
        if plain is None:
            self._transport.set_protocol(connection)
            connection.data_received(data)
            return
        method, path, query, body = plain
        try:
            answer = self._at_once(HttpRequest(method, path, query, _NO_HEADERS, body, connection.peer, received))
        except Exception:  # the client must get an answer whatever fails here
            log.exception("the door failed on %s %r: the request is answered the ordinary way", method, path)
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
