"""Load whose every answer is judged: the rows of one model of :mod:`tests.support.versions`, asked without end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Final

import orjson

from tests.support.daemon import Daemon
from tests.support.load import Caller, Reply, callers
from tests.support.loop_thread import LoopThread
from tests.support.tier_config import READ_TIMEOUT_MS

CONNECTIONS: Final = 6
PAUSE_S: Final = 0.01
"""Between an answer and the next question of a connection: load, but not all that the machine has."""
SLOW_S: Final = 5 * READ_TIMEOUT_MS / 1000
"""Slower is no wait for a tier that had its time, but one that was not bounded, or for several of them."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer that was right."""

    sent_at: float
    seconds: float
    cache: str


class Witness:
    """What the callers saw. ``versions`` are those that may answer at present; a test may change them."""

    def __init__(self, daemon: Daemon, model: str, xs: Sequence[int], versions: frozenset[int]) -> None:
        self.versions = versions
        self.answers: list[Answered] = []
        self.faults: list[str] = []
        """What was not 200, not the right value, or not there at all."""
        self._daemon = daemon
        self._model = model
        self._xs = xs
        self._next = count()

    def await_answers(self, number: int = 200) -> list[Answered]:
        """The next so many, all asked for after the call."""
        now, since = time.monotonic(), len(self.answers)
        self.wait_until(lambda: len(self._asked_after(now, since)) >= number)
        return self._asked_after(now, since)

    def await_hits(self, label: str, number: int = 100) -> None:
        """Until the last so many answers all came from the tier ``label``."""
        start = f"{label}; hit"
        self.wait_until(
            lambda: (
                len(self.answers) >= number and all(answer.cache.startswith(start) for answer in self.answers[-number:])
            )
        )

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Until ``condition`` holds, or something went wrong."""
        self._daemon.wait_until(lambda: bool(self.faults) or condition(), 30)
        assert not self.faults, self.faults[:5]

    async def ask(self) -> None:
        """Until cancelled."""
        async with callers(self._daemon.port, CONNECTIONS) as clients, asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(self._ask(client))

    def _asked_after(self, moment: float, since: int) -> list[Answered]:
        return [answer for answer in self.answers[since:] if answer.sent_at > moment]

    async def _ask(self, client: Caller) -> None:
        while True:
            x = self._xs[next(self._next) % len(self._xs)]
            target = f"/v1/api/model/{self._model}/eval?x={x}"
            sent_at, versions = time.monotonic(), self.versions
            try:
                reply = await client.ask(f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            except (ConnectionError, TimeoutError) as error:
                self.faults.append(f"{target}: {error!r}")
                return
            if self._is_right(x, reply, versions | self.versions):
                self.answers.append(Answered(sent_at, reply.seconds, reply.headers.get("cache-status", "")))
            else:
                self.faults.append(f"{target}: {reply.status} {reply.body!r}")
            await asyncio.sleep(PAUSE_S)

    @staticmethod
    def _is_right(x: int, reply: Reply, versions: frozenset[int]) -> bool:
        if reply.status != 200:
            return False
        data = orjson.loads(reply.body)["data"]
        return data["a"] == data["b"] and data["a"] - x in versions


@contextmanager
def witnessed(
    daemon: Daemon, model: str, xs: Sequence[int] = range(50), *versions: int, faultless: bool = True
) -> Iterator[Witness]:
    """The rows ``xs`` of ``model`` are asked inside; without ``versions``, version 1 answers. No fault may come."""
    witness = Witness(daemon, model, xs, frozenset(versions or (1,)))
    with LoopThread() as loop:
        asking = loop.start(witness.ask())
        yield witness
        assert not asking.done(), asking
    assert not (faultless and witness.faults), f"{len(witness.faults)} faults: {witness.faults[:5]}"


def slow_share(answers: Sequence[Answered]) -> float:
    """How many in a hundredth of the whole took longer than :data:`SLOW_S`."""
    return sum(answer.seconds > SLOW_S for answer in answers) / len(answers)
