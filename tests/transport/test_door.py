"""Memory's answers would come late, stale, twice, uncounted or not at all, if these failed."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import NoReturn

import pytest
import uvloop

from mlserve.cache.outer import NO_TIERS
from mlserve.cache.view import View
from mlserve.errors import NotReady
from mlserve.transport.http1 import Http1Server
from mlserve.transport.limits import Http1Limits
from mlserve.transport.opening import ALPN
from mlserve.types import Context, Rows
from tests.support import http1
from tests.support.certificate import self_signed
from tests.support.deployments import deployment
from tests.support.doors import GET, POST, Served, Talk, answers
from tests.support.loading import until
from tests.support.virtual_time import in_virtual_time

OTHER = GET.replace(b"x=1.5", b"x=4")
NEXT = "fedcba9876543210" * 4


async def open_door() -> tuple[Served, Talk]:
    """A port whose memory knows ``GET`` and ``POST``, and a connection to it."""
    served = Served(door=True)
    await served.learn()
    served.at_once = 0
    return served, served.connect()


def bodies(talk: Talk) -> list[bytes]:
    return [body.rpartition(b'"data":')[2] for _, body in answers(talk.transport.written)]


# -- what it answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [GET, POST])
async def test_a_hit_is_answered_before_the_chunk_is_given_back(raw: bytes) -> None:
    """No task and no turn of the loop is what makes it quick."""
    served, talk = await open_door()
    for times in range(1, 4):
        talk.give(raw)
        assert bodies(talk) == [b'{"y":3.0}}'] * times
        assert served.at_once == times
    assert not served.port.tasks
    talk.leave()


async def test_a_miss_takes_the_ordinary_way_and_is_learnt_there() -> None:
    """Computed, then from memory, then by the door; all on one connection."""
    served, talk = await open_door()
    assert (await talk.say(OTHER, OTHER, OTHER)).count(b"memory; hit") == 2
    assert served.at_once == 1
    assert bodies(talk) == [b'{"y":8.0}}'] * 3
    talk.leave()


async def test_other_clients_ask_the_same_in_other_words() -> None:
    """What is known is the question: a client that was never here before gets it too."""
    served, talk = await open_door()
    talk.give(GET.replace(b"Host: a", b"host: b:80\r\nUser-Agent: another/1.0\r\nAccept-Encoding: gzip"))
    assert served.at_once == 1
    talk.leave()


async def test_what_is_not_whole_and_plain_closes_the_door_for_good() -> None:
    """From then on nobody in front knows what the parser holds."""
    served, talk = await open_door()
    await talk.say(GET, GET.replace(b"Host", b"Connection: keep-alive\r\nHost"), GET, GET)
    assert served.at_once == 1
    assert talk.transport.protocol is talk.connection
    assert bodies(talk) == [b'{"y":3.0}}'] * 4
    talk.leave()


async def test_a_chunk_behind_an_unanswered_request_closes_the_door_for_good() -> None:
    """Else the second answer would come first, and the client take it for that of the first."""
    served, talk = await open_door()
    talk.give(OTHER, GET)
    assert talk.transport.written == b""
    await talk.settle()
    assert bodies(talk) == [b'{"y":8.0}}', b'{"y":3.0}}']
    await talk.say(GET)
    assert served.at_once == 0
    talk.leave()


async def test_a_connection_over_the_bound_is_told_so_whatever_memory_holds() -> None:
    """``MaxConnections`` holds for hits as well."""
    served = Served(door=True)
    await served.learn()
    served.at_once = 0
    served.port.max_connections = 0
    talk = served.connect()
    assert b" 503 " in await talk.say(GET)
    assert served.at_once == 0
    talk.leave()


# -- whose answer it is --------------------------------------------------------------------------------------------


async def test_a_new_version_answers_from_the_moment_it_is_there() -> None:
    """What the door knows of a version is worth nothing once another serves, with or without word of it."""
    served, talk = await open_door()
    talk.give(GET, POST)
    served.publish(3, NEXT)
    await talk.say(GET, POST)
    assert bodies(talk) == [b'{"y":3.0}}'] * 2 + [b'{"y":4.5}}'] * 2
    assert served.at_once == 2
    await talk.say(GET, POST, GET, POST)
    assert served.at_once > 2
    served.publish(2)
    await talk.say(GET)
    assert bodies(talk)[-1] == b'{"y":3.0}}'
    talk.leave()


async def test_a_model_that_is_gone_or_not_ready_is_not_answered_for() -> None:
    """Memory still holds its rows until they are pushed out."""
    served, talk = await open_door()
    served.withdraw()
    assert b" 503 " in await talk.say(GET)
    del served.manager.deployments["m"]
    assert b" 404 " in await talk.say(GET)
    assert served.at_once == 0
    talk.leave()


async def test_a_version_that_is_not_cached_is_not_answered_for() -> None:
    """A doubt about the model took the cache away; what was recorded and learnt before must not speak."""
    served, talk = await open_door()
    before = served.manager.acquire("m")
    not_cached = View(before.interface, None, None, NO_TIERS, "its outputs differ from run to run")
    served.put(deployment(before.predict, before.interface, cache=not_cached))
    await talk.say(GET, POST)
    assert served.at_once == 0
    assert bodies(talk) == [b'{"y":3.0}}'] * 2
    talk.leave()


async def test_an_answer_that_memory_dropped_is_computed_again() -> None:
    """``SizeMB`` and lives are the tier's to keep."""
    served, talk = await open_door()
    served.memory.clear()
    assert b"fwd=miss" in await talk.say(GET)
    assert served.at_once == 0
    talk.leave()


async def test_a_hit_is_logged_and_counted_as_on_the_ordinary_way(caplog: pytest.LogCaptureFixture) -> None:
    """Operators would miss the requests that come most."""
    lines = []
    for door in (True, False):
        served = Served(door=door, log="all")
        with caplog.at_level(logging.INFO, "mlserve.access"):
            await served.learn()
            caplog.clear()
            await served.learn(GET, POST)
        lines.append([[r.__dict__[name] for name in ("peer", "method", "path", "status")] for r in caplog.records])
        assert served.counted()["mlserve_requests_total", (("code", "200"), ("model", "m"), ("protocol", "eval"))] == 12
        assert served.counted()["mlserve_rows_total", (("model", "m"),)] == 12
        assert (served.at_once > 0) is door
    assert lines[0] == lines[1]
    assert len(lines[0]) == 6


# -- what is computed ----------------------------------------------------------------------------------------------


class Slow:
    """A port whose model answers when it is told to, and a connection to it."""

    def __init__(self) -> None:
        self.served = Served(door=True)
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.cancelled = False
        self.served.put(deployment(self._predict))
        self.talk = self.served.connect()

    async def ask(self, raw: bytes) -> None:
        self.talk.give(raw)
        await self.begun.wait()

    async def _predict(self, asked: Rows, context: Context) -> Rows:
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return Rows({"y": asked.columns["x"] * 2}, asked.count)


async def test_the_body_of_a_request_that_no_parser_read_is_in_flight_until_it_is_answered() -> None:
    """``MaxInFlightBytes`` would let in as many as come."""
    slow = Slow()
    await slow.ask(POST)
    assert slow.served.port.in_flight.held == len(b'{"x":1.5}')
    slow.go.set()
    await slow.talk.settle()
    assert bodies(slow.talk) == [b'{"y":3.0}}']
    assert slow.served.port.in_flight.held == 0
    slow.talk.leave()


async def test_the_door_stays_open_behind_a_request_that_was_computed() -> None:
    """Else a connection's first miss would cost all hits after it."""
    slow = Slow()
    slow.go.set()
    await slow.talk.say(GET, POST, GET)
    assert bodies(slow.talk) == [b'{"y":3.0}}'] * 3
    assert slow.talk.transport.protocol is not slow.talk.connection
    slow.talk.leave()


async def test_what_came_behind_is_read_by_the_parser_from_its_first_byte() -> None:
    """The parser never saw the request before it."""
    slow = Slow()
    await slow.ask(POST)
    slow.talk.give(GET[:10], GET[10:] + POST)
    slow.go.set()
    await slow.talk.settle()
    assert bodies(slow.talk) == [b'{"y":3.0}}'] * 3
    assert slow.served.port.in_flight.held == 0
    slow.talk.leave()


@pytest.mark.parametrize("end", ["eof_received", "connection_lost"])
async def test_a_client_that_leaves_a_request_that_no_parser_read_holds_nothing(end: str) -> None:
    """Its run would go on for nobody, and its body count for ever."""
    slow = Slow()
    await slow.ask(POST)
    getattr(slow.talk.transport.protocol, end)(*([None] if end == "connection_lost" else []))
    await until(lambda: slow.cancelled)
    if end == "eof_received":
        slow.talk.leave()
    assert slow.served.port.in_flight.held == 0
    assert not slow.served.port.connections


async def test_a_stop_that_does_not_wait_answers_a_request_that_no_parser_read() -> None:
    """503, as for any other request, and the connection ends."""
    slow = Slow()
    await slow.ask(POST)
    slow.talk.connection.expel()
    await until(lambda: slow.cancelled)
    assert b" 503 " in slow.talk.transport.written
    assert b"Connection: close" in slow.talk.transport.written
    assert slow.served.port.in_flight.held == 0
    slow.talk.leave()


# -- waits and ends ------------------------------------------------------------------------------------------------


async def test_a_client_that_does_not_read_gets_no_second_answer() -> None:
    """Answers would pile up in memory, one for each request it sends."""
    served, talk = await open_door()
    talk.transport.stuck = True
    talk.give(GET, GET, POST)
    assert len(bodies(talk)) == 1
    assert served.port.in_flight.held > 0
    talk.transport.resume()
    await talk.settle()
    assert bodies(talk) == [b'{"y":3.0}}'] * 3
    assert served.port.in_flight.held == 0
    talk.leave()


@in_virtual_time
async def test_a_client_that_never_reads_is_cut() -> None:
    """It would hold its connection for ever."""
    served, talk = await open_door()
    talk.transport.stuck = True
    talk.give(GET)
    await asyncio.sleep(served.limits.write_timeout_s + 0.1)
    assert talk.transport.told == ["abort"]
    talk.leave()


@in_virtual_time
async def test_the_idle_deadline_counts_from_the_last_answer() -> None:
    """A client served by the door alone must neither be cut while it asks, nor stay for ever."""
    served, talk = await open_door()
    for times in range(1, 6):
        await asyncio.sleep(served.limits.idle_timeout_s - 1)
        talk.give(GET)
        assert served.at_once == times
    await asyncio.sleep(served.limits.idle_timeout_s + 0.1)
    assert talk.transport.told == ["close"]
    talk.leave()


async def test_the_last_answer_while_draining_says_so() -> None:
    """Clients of a server that stops must turn to another one: the door leaves them to the connection."""
    served, talk = await open_door()
    served.port.draining = True
    talk.connection.drain()
    assert b"Connection: close\r\n" in await talk.say(GET)
    assert served.at_once == 0
    assert talk.transport.told == ["close"]
    talk.leave()


async def test_leaving_between_requests() -> None:
    """By a polite end or without one."""
    served, talk = await open_door()
    talk.give(GET)
    talk.transport.protocol.eof_received()  # type: ignore[attr-defined]  # it is a Protocol
    assert talk.transport.told == ["close"]
    talk.leave()
    assert not served.port.connections


@pytest.mark.parametrize("by_bytes", [True, False])
@pytest.mark.parametrize("error", [RuntimeError("a fault"), NotReady("a fault")])
async def test_a_fault_at_the_door_is_logged_and_the_request_is_answered(
    error: Exception, by_bytes: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception out of ``data_received`` would cut the connection without a word."""

    def fail(*asked: object) -> NoReturn:
        raise error

    served, talk = await open_door()
    if by_bytes:
        served.repeats.of = fail
    else:
        served.repeats.learn = fail  # type: ignore[method-assign]  # it fails for the test
    assert b" 200 " in await talk.say(GET if by_bytes else GET.replace(b"Host: a", b"Host: b"))
    assert "the ordinary way" in caplog.text
    assert "a fault" in caplog.text
    assert (served.hits.by_bytes, served.hits.by_question) == (0, by_bytes), "the next way is tried"
    talk.leave()


# -- over sockets --------------------------------------------------------------------------------------------------


async def over_a_socket(context: ssl.SSLContext | None = None, client: ssl.SSLContext | None = None) -> None:
    """Hits, a miss, an odd request, halves and leftovers on connections of a real server."""
    served = Served(door=True)
    await served.learn()
    served.at_once = 0
    server = Http1Server(served.application, Http1Limits(), front=served.front)
    await server.start("127.0.0.1", 0, context)
    try:
        reader, writer = await asyncio.open_connection(*server.address, ssl=client)
        wire = http1.Wire(reader, writer)
        for raw in (GET, POST, GET):
            await wire.send(raw)
            answer = await wire.answer()
            assert (answer.status, answer.json["data"]) == (200, {"y": 3.0})
            assert answer.headers["cache-status"].startswith("memory; hit; ttl=")
        assert served.at_once == 3
        await wire.send(OTHER)
        assert (await wire.answer()).json["data"] == {"y": 8.0}
        await wire.send(GET)
        await wire.answer()
        assert served.at_once == 4
        await wire.send(GET + POST + GET[:20], GET[20:])
        for _ in range(3):
            assert (await wire.answer()).json["data"] == {"y": 3.0}
        await wire.send(GET.replace(b"Host", b"Connection: close\r\nHost"))
        assert (await wire.answer()).headers["connection"] == "close"
        assert await wire.ended() == b""
        wire.leave()
    finally:
        await server.close(0.0)
    assert served.at_once == 4


async def test_over_a_socket() -> None:
    """On asyncio's own loop."""
    await over_a_socket()


@pytest.mark.parametrize("scenario", [over_a_socket, test_a_hit_is_answered_before_the_chunk_is_given_back])
def test_uvloop_does_the_same(scenario: Callable[..., Coroutine[None, None, None]]) -> None:
    """The daemon runs on uvloop where there is one."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario() if scenario is over_a_socket else scenario(GET))


@pytest.mark.parametrize("alpn", [[], ["http/1.1"]])
async def test_under_tls(tmp_path: Path, alpn: list[str]) -> None:
    """With ALPN the connection is known from the start, without it from the first bytes."""
    certificate = self_signed(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(ALPN)
    context.load_cert_chain(certificate.cert, certificate.key)
    client = ssl.create_default_context(cafile=str(certificate.cert))
    if alpn:
        client.set_alpn_protocols(alpn)
    await over_a_socket(context, client)
