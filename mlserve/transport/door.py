"""Plain requests, read without a parser; and those that memory can answer, answered inside ``data_received``.

Stands before a :class:`Connection` and takes a chunk only if that is exactly one whole plain request by the grammar of
:mod:`mlserve.transport.plain`, if nothing of an earlier one is unanswered, and if it asks a model; every other chunk
goes to the connection untouched. At the first chunk that may be anything but one whole plain request the door closes
for good, so it never has to guess what the connection's parser holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic
from types import MappingProxyType
from typing import Final, cast

from mlserve.transport.connection import Connection
from mlserve.transport.evaluation import Evaluation
from mlserve.transport.hits import Hits
from mlserve.transport.message import Abandon, HttpRequest, Reply
from mlserve.transport.plain import read_plain

BeginEvaluation = Callable[[Evaluation, HttpRequest, Reply], Abandon | None]
"""As :data:`~mlserve.transport.message.Begin`, for a request that is known to be an evaluation."""

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class Door(asyncio.Protocol):
    """Before ``connection``, until a chunk comes that is not one whole plain request. Called by the event loop."""

    def __init__(self, connection: Connection, hits: Hits, begin: BeginEvaluation) -> None:
        self._connection = connection
        self._hits = hits
        self._begin = begin
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)  # connection_made comes before all else

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connection.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        received = monotonic()
        connection = self._connection
        if not connection.free:
            self._close(data)
            return
        # Bytes that are known were plain, and within all limits, when they were learnt.
        answer = self._hits.repeated(data, connection.peer, received)
        if answer is not None:
            connection.answer(answer)
        elif connection.has_room(len(data)):
            self._read(data, received)
        else:
            self._close(data)

    def eof_received(self) -> None:
        self._connection.eof_received()

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def _read(self, data: bytes, received: float) -> None:
        plain = read_plain(data)
        if plain is None:
            self._close(data)
            return
        connection = self._connection
        asked = self._hits.evaluation(plain.path)
        if asked is None:
            connection.data_received(data)
            return
        answer = self._hits.recorded(asked, plain, data, connection.peer, received)
        if answer is not None:
            connection.answer(answer)
        else:
            # No header of a plain request changes the answer to an evaluation.
            method, path, query, body = plain
            request = HttpRequest(method, path, query, _NO_HEADERS, body, connection.peer, received)
            connection.handle(request, partial(self._begin, asked))

    def _close(self, data: bytes) -> None:
        self._transport.set_protocol(self._connection)
        self._connection.data_received(data)
