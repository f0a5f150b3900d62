"""Bytes come to the protocol and back as over a socket, as far as an answer goes."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from benchmarks.guard.wire import ANSWERED_WITHIN_S, Wire
from tests.support.virtual_time import clock, in_virtual_time


class Echo(asyncio.Protocol):
    """Answers each request in three parts, ``later`` or at once."""

    def __init__(self, later: bool) -> None:
        self._later = later
        self.lost = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._later:
            asyncio.get_running_loop().call_soon(self._answer, data)
        else:
            self._answer(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost += 1

    def _answer(self, data: bytes) -> None:
        for part in (b"head of ", data, b"."):
            self.transport.write(part)


class Silent(asyncio.Protocol):
    """Says nothing."""


@pytest.mark.parametrize("later", [False, True])
async def test_an_answer_is_all_that_was_written(later: bool) -> None:
    """Half of an answer would leave its rest to the next request."""
    wire = Wire(asyncio.get_running_loop(), lambda: Echo(later))
    assert [await wire.ask(each) for each in (b"one", b"two")] == [b"head of one.", b"head of two."]


async def test_a_protocol_may_put_another_in_its_place() -> None:
    """As the opening of a connection does, once it knows what its client speaks."""
    wire = Wire(asyncio.get_running_loop(), Silent)
    echo = Echo(later=False)
    echo.connection_made(wire)
    wire.set_protocol(echo)
    assert await wire.ask(b"one") == b"head of one."


async def test_a_closed_one_is_lost_once() -> None:
    """As the loop tells a protocol, so that nothing of the connection is left: timers, counts."""
    echo = Echo(later=False)
    wire = Wire(asyncio.get_running_loop(), lambda: echo)
    wire.close()
    wire.abort()
    assert wire.is_closing()
    await asyncio.sleep(0)
    assert echo.lost == 1


@in_virtual_time
async def test_who_gets_no_answer_is_told() -> None:
    """A path that hangs would hang the guard, and CI with it."""
    wire = Wire(asyncio.get_running_loop(), Silent)
    began = clock()
    with pytest.raises(RuntimeError, match="no answer within 30 s"):
        await wire.ask(b"one")
    assert clock() - began == pytest.approx(ANSWERED_WITHIN_S, abs=0.1)


async def test_who_leaves_while_waiting_leaves_no_timer_that_fails() -> None:
    """The loop would complain of an answer, or of a deadline, that nobody waits for any more."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    echo = Echo(later=False)
    wire = Wire(loop, Silent)
    echo.connection_made(wire)
    asking = asyncio.create_task(wire.ask(b"one"))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    echo.data_received(b"late")
    assert asking.cancelled()
    assert complaints == []
