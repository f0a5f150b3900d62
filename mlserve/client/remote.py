"""All hosts behind one door: a request goes to the one with the least to do, and to another if that does not answer.

Only what is safe to repeat passes here: a prediction changes nothing. A host that refuses the connection has not been
asked at all, so another is tried at once, free of charge; one that broke off, or says "later", has cost something, so
trying again is bounded by a budget. When all have been tried, it waits, and begins anew.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

from mlserve.client.address import server_url
from mlserve.client.budget import RetryBudget
from mlserve.client.host import Host
from mlserve.client.retry import WORTH_ANOTHER_TRY, pause_before_retry
from mlserve.client.transport import HttpAnswer, MakeTransport
from mlserve.errors import BadAnswer, ClientError, Interrupted, RemoteError, TimedOut, Unreachable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """``body`` is posted; ``None`` makes it a GET.

    ``read`` turns what a server answered, whose address as errors show it comes second, into what it means, or raises
    the :class:`~mlserve.errors.ClientError` that it is.
    """

    path: str
    body: bytes | None
    read: Callable[[HttpAnswer, str], T]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """What was answered, by which host, and how many requests that took."""

    answer: T
    host: Host
    tries: int


class Remote:
    """Used by several tasks of one event loop; :meth:`close` it once.

    ``chance`` gives numbers from 0 to 1. Raises :class:`ValueError` if one of ``urls`` is none that a server can have.
    """

    def __init__(
        self,
        urls: Sequence[str],
        transport: MakeTransport,
        *,
        budget: RetryBudget | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        if not urls:
            raise ValueError("expected the URL of a server, or several; got none")
        checked = dict.fromkeys(map(server_url, urls))
        self.hosts = tuple(Host(url, transport(url), chance) for url in checked)
        self.closed = False
        self._budget = budget or RetryBudget()
        self._chance = chance

    async def ask(self, request: Request[T], timeout_s: float, *, host: Host | None = None) -> Reply[T]:
        """Ask until there is an answer, or an error that waiting will not mend within ``timeout_s``.

        ``host`` is asked first, if given. Raises the leaves of :class:`~mlserve.errors.ClientError`.
        """
        self.check_open()
        self._budget.called()
        deadline = asyncio.get_running_loop().time() + timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                return await self._eventually(request, deadline, host)
        except TimeoutError:
            places = ", ".join(host.place for host in self.hosts)
            raise TimedOut(f"no answer from {places} within {timeout_s:g} s") from None

    async def close(self) -> None:
        """Calls under way end with :class:`~mlserve.errors.ClientError`. May be called again."""
        self.closed = True
        for host in self.hosts:
            await host.close()

    def check_open(self) -> None:
        """Raises :class:`~mlserve.errors.ClientError` after :meth:`close`."""
        if self.closed:
            raise ClientError("the client is closed: make a new one")

    async def _eventually(self, request: Request[T], deadline: float, host: Host | None) -> Reply[T]:
        clock = asyncio.get_running_loop().time
        tried: list[Host] = []
        pauses: list[float] = []
        tries = rounds = interruptions = 0
        while True:
            self.check_open()
            host = host or self._choice(request.path, tried, clock())
            tried.append(host)
            tries += 1
            try:
                return Reply(await self._once(request, host, deadline), host, tries)
            except ClientError as error:
                self.check_open()
                interruptions += isinstance(error, Interrupted)
                pause_s = pause_before_retry(error, max(rounds, interruptions - 1), self._chance())
                if pause_s is None and not isinstance(error, Unreachable):
                    raise
                if pause_s is not None:
                    pauses.append(pause_s)
                pause_s = 0.0 if len(tried) < len(self.hosts) else min(pauses, default=inf)
                if clock() + pause_s >= deadline:
                    raise
                if not isinstance(error, Unreachable) and not self._budget.take():
                    raise
            host = None
            if len(tried) == len(self.hosts):
                await asyncio.sleep(pause_s)
                rounds += 1
                tried.clear()
                pauses.clear()

    def _choice(self, path: str, tried: Collection[Host], now: float) -> Host:
        """Of those not tried yet: up before down, willing before resting, then the least busy; else by chance."""
        left = [host for host in self.hosts if host not in tried]
        if len(left) == 1:
            return left[0]
        return min(left, key=lambda it: (not it.up, it.rests(path, now), it.outstanding, self._chance()))

    async def _once(self, request: Request[T], host: Host, deadline: float) -> T:
        clock = asyncio.get_running_loop().time
        headers = {**request.headers, "X-Request-Timeout-Ms": str(max(1, int((deadline - clock()) * 1000)))}
        host.outstanding += 1
        try:
            if request.body is None:
                answer = await host.transport.get(request.path, headers)
            else:
                answer = await host.transport.post(request.path, request.body, headers)
            host.answered()
            return request.read(answer, host.place)
        except RemoteError as error:
            if error.status in WORTH_ANOTHER_TRY:
                host.rest(request.path, clock(), error.retry_after_s or 1.0)
            raise
        except BadAnswer:
            raise
        except ClientError as error:
            self._failed(host, error)
            raise
        except asyncio.CancelledError:
            if clock() >= deadline:
                self._failed(host, TimedOut("it did not answer in time"))
            raise
        finally:
            host.outstanding -= 1

    def _failed(self, host: Host, error: ClientError) -> None:
        """Where there is one host alone, there is nothing to choose, so nothing to know."""
        if len(self.hosts) > 1 and not self.closed:
            host.failed(error)
