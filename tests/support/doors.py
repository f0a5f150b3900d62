"""One port with the door and one without, fed chunk by chunk: what each says and does to the same bytes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from random import Random
from typing import Any, Literal, cast

from mlserve.cache.outer import NO_TIERS
from mlserve.cache.view import View
from mlserve.observe.access import AccessLog
from mlserve.observe.metrics import Metrics
from mlserve.protocols.eval import EvalProtocol
from mlserve.serving.deployment import Deployment
from mlserve.serving.manager import Manager
from mlserve.stores.memory import MemoryStore
from mlserve.transport.access import Guard
from mlserve.transport.admin import Admin
from mlserve.transport.application import Application
from mlserve.transport.connection import Connection
from mlserve.transport.door import Door
from mlserve.transport.evaluation import Evaluation
from mlserve.transport.explain import ExplainHandler
from mlserve.transport.hits import Hits
from mlserve.transport.inflight import InFlightBytes
from mlserve.transport.limits import Http1Limits
from mlserve.transport.mly.meta import MetaHandler
from mlserve.transport.opening import Opening
from mlserve.transport.plain import Plain
from mlserve.transport.port import Port
from mlserve.transport.predict import PredictHandler, PredictLimits
from mlserve.transport.repeats import Repeats
from mlserve.types import Context, Rows
from tests.support.chained import GENERATION, Chained
from tests.support.deployments import deployment, interface
from tests.support.eval_requests import EVAL, FakeManager, loaded_config

GET = f"GET {EVAL}?x=1.5 HTTP/1.1\r\nHost: a\r\n\r\n".encode()
POST = f'POST {EVAL} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{{"x":1.5}}'.encode()


class RecordingTransport(asyncio.Transport):
    """Keeps what is written; ``stuck``: the client reads nothing, so that writing is paused at once."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.told: list[str] = []
        self.stuck = False
        self.unsent = 0
        self.protocol: asyncio.BaseProtocol = asyncio.Protocol()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.written += data
        if self.stuck:
            self.unsent += len(data)
            cast("asyncio.Protocol", self.protocol).pause_writing()

    def resume(self) -> None:
        """The client has read all."""
        self.stuck = False
        self.unsent = 0
        cast("asyncio.Protocol", self.protocol).resume_writing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.7", 4321) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return bool({"close", "abort"}.intersection(self.told))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.told.append("write_eof")

    def pause_reading(self) -> None:
        self.told.append("pause_reading")

    def resume_reading(self) -> None:
        self.told.append("resume_reading")

    def close(self) -> None:
        self.told.append("close")

    def abort(self) -> None:
        self.told.append("abort")


class Served:
    """One port over one cached model ``m``, ``y`` = 2 ``x``.

    The cache's clock stands at ``now`` and its draws are the same each time, so that lives are equal.
    """

    def __init__(
        self, *, door: bool, limits: Http1Limits | None = None, log: Literal["off", "all"] = "off", **of_predict: Any
    ) -> None:
        self.now = 1000.0
        self.memory = MemoryStore(1 << 20, clock=lambda: self.now)
        self.metrics = Metrics()
        self.manager = FakeManager()
        self.publish(2)
        manager = cast("Manager", self.manager)
        predict = PredictHandler(manager, self.metrics, PredictLimits(30.0, 10, **of_predict))
        guard = Guard(())
        access_log = AccessLog(log, 1.0)
        self.application = Application(
            predict,
            [EvalProtocol()],
            ExplainHandler(manager, EvalProtocol(), guard),
            MetaHandler(manager),
            Admin(manager, self.metrics, loaded_config(), guard),
            access_log,
        )
        self.repeats = Repeats(lambda: 1 << 16)
        self.hits = CountedHits(manager, self.metrics, [EvalProtocol()], access_log, self.repeats)
        self._door = door
        self.limits = limits or Http1Limits()
        loop = asyncio.get_running_loop()
        in_flight = InFlightBytes(self.limits.max_in_flight_bytes)
        self.port = Port(self.application, self.limits, loop, 100, in_flight)

    def publish(self, factor: int, generation: str = GENERATION) -> Deployment:
        """Put a version in place that multiplies by ``factor``."""
        self.factor = factor

        async def predict(asked: Rows, context: Context) -> Rows:
            return Rows({"y": asked.columns["x"] * self.factor}, asked.count)

        face = interface()
        observe = self.metrics.model("m").observe_lookup
        chain = Chained(predict, memory=self.memory, face=face, generation=generation, random=Random(1)).chain
        self.chain = chain
        chain._lookup._observe = observe
        view = View(face, chain, self.memory, NO_TIERS, None)
        return self.put(deployment(chain, face, generation=generation, cache=view))

    def put(self, made: Deployment) -> Deployment:
        """``made`` serves from now on, in place of what did."""
        self.withdraw()
        self.manager.deployments["m"] = made
        return made

    def withdraw(self) -> None:
        """Nothing serves from now on."""
        before = self.manager.deployments.get("m")
        if before is not None:
            before.withdrawn = True
        self.manager.deployments["m"] = None

    @property
    def at_once(self) -> int:
        """Answers that the door gave."""
        return self.hits.by_bytes + self.hits.by_question

    @at_once.setter
    def at_once(self, count: int) -> None:
        self.hits.by_bytes, self.hits.by_question = count, 0

    def front(self, connection: Connection) -> asyncio.Protocol:
        """As the daemon puts it together, or the same without the door."""
        return Opening(connection, Door(connection, self.hits, self.application.begin) if self._door else None)

    def connect(self) -> Talk:
        return Talk(self)

    async def learn(self, *requests: bytes) -> None:
        """Ask until answers are recorded: computed, from memory, and once more."""
        for request in requests or (GET, POST):
            for _ in range(3):
                talk = self.connect()
                await talk.say(request)
                talk.leave()

    def counted(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Every sample but times."""
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if family.name.startswith("mlserve_") and "seconds" not in sample.name and "created" not in sample.name
        }


class CountedHits(Hits):
    """How many answers were found by their request's bytes, and how many by what it asks."""

    by_bytes = 0
    by_question = 0

    def repeated(self, request: bytes, peer: str, received: float) -> bytes | None:
        answer = super().repeated(request, peer, received)
        self.by_bytes += answer is not None
        return answer

    def recorded(self, asked: Evaluation, plain: Plain, request: bytes, peer: str, received: float) -> bytes | None:
        answer = super().recorded(asked, plain, request, peer, received)
        self.by_question += answer is not None
        return answer


class Talk:
    """One connection to a :class:`Served`."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.connection = Connection(served.port)
        self.transport = RecordingTransport()
        self.transport.protocol = served.front(self.connection)
        self.transport.protocol.connection_made(self.transport)

    def give(self, *chunks: bytes) -> None:
        """Each chunk as one ``data_received``, without a turn of the loop in between."""
        for chunk in chunks:
            if not self.transport.is_closing():
                cast("asyncio.Protocol", self.transport.protocol).data_received(chunk)

    async def say(self, *chunks: bytes) -> bytes:
        """Each chunk when all before is answered; all that was written since the beginning."""
        for chunk in chunks:
            self.give(chunk)
            await self.settle()
        return self.transport.written

    async def settle(self) -> None:
        """Until no request is being handled."""
        while self._served.port.tasks or self._served.port.promised:
            if self._served.port.tasks:
                await asyncio.wait(set(self._served.port.tasks))
            await asyncio.sleep(0)

    @property
    def seen(self) -> tuple[object, ...]:
        """What the client gets, and how the connection stands."""
        state = self.connection._state
        return answers(self.transport.written), self.transport.told, state, self._served.port.in_flight.held

    def leave(self) -> None:
        """Nothing of the connection is left in the loop."""
        self.transport.protocol.connection_lost(None)  # type: ignore[attr-defined]  # it is a Protocol


def answers(raw: bytes) -> list[tuple[bytes, bytes]]:
    """Heads and bodies, but for their times. Raises :class:`AssertionError` for a length that is not the body's."""
    found = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        size = 0 if length is None or raw.startswith(b"HTTP/1.1 ") or not raw else int(length[1])
        assert len(raw) >= size, raw
        body, raw = raw[:size], raw[size:]
        head = re.sub(rb"Date: [^\r]*|Content-Length: \d+", b"-", head)
        found.append((head, re.sub(rb'(serviceTimeMcs":|"now":|"uptime[^:]*:)[0-9.]+', rb"\1", body)))
    return found


async def differences(cases: Sequence[Sequence[bytes]], *, settled: bool = True, **settings: Any) -> list[object]:
    """The cases, each the chunks of one connection, that a port with the door and one without answer differently.

    ``settled``: each chunk comes when all before is answered. Behind each case follows a request that both know. Each
    case comes twice, so that what was learnt of it the first time is asked the second.
    """
    pair = [Served(door=door, **settings) for door in (True, False)]
    found: list[object] = []
    for served in pair:
        await served.learn()
    for case in [case for case in cases for _ in range(2)]:
        seen = []
        for served in pair:
            talk = served.connect()
            if settled:
                await talk.say(*case)
            else:
                talk.give(*case)
                await talk.settle()
            await talk.say(GET)
            seen.append(talk.seen)
            talk.leave()
        if seen[0] != seen[1]:
            found.append((case, *seen))
    with_door, without = (served.counted() for served in pair)
    if with_door != without:
        found.append([(key, value, without.get(key)) for key, value in with_door.items() if value != without.get(key)])
    assert pair[0].at_once > 0
    assert pair[1].at_once == 0
    return found
