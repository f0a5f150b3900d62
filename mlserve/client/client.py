"""The client: values in, an :class:`~mlserve.client.answer.Answer` out, within one deadline."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import orjson

from mlserve.client.address import server_url, without_secrets
from mlserve.client.answer import Answer, read_answer
from mlserve.client.http import HttpTransport
from mlserve.client.retry import pause_before_retry
from mlserve.client.transport import Transport
from mlserve.errors import ClientError, TimedOut

TIMEOUT_S: Final = 30.0


class Client:
    """One server. Use it with ``async with``, or :meth:`close` it; several tasks may ask at once.

    ``timeout_s`` bounds one call, tries again included. Trying again is safe: a prediction changes nothing.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        transport: Transport | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Raises :class:`ValueError` if ``url`` is none that a server can have."""
        url = server_url(url)
        self._place = without_secrets(url)
        self._timeout_s = timeout_s
        self._transport = transport or HttpTransport(url)
        self._chance = chance
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Calls under way end with :class:`~mlserve.errors.ClientError`."""
        self._closed = True
        await self._transport.close()

    async def eval(self, model: str, values: Mapping[str, Any]) -> Answer:
        """Ask ``model``: ``values`` by input name are what the JSON of ``eval`` takes, ``batch_size`` included.

        Raises the leaves of :class:`~mlserve.errors.ClientError`, and :class:`TypeError` for a value that JSON has no
        form for.
        """
        path = f"/v1/api/model/{quote(model, safe='')}/eval"
        body = orjson.dumps(values)
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                return await self._eventually(path, body, deadline)
        except TimeoutError:
            raise TimedOut(f"no answer from {self._place} within {self._timeout_s:g} s") from None

    async def _eventually(self, path: str, body: bytes, deadline: float) -> Answer:
        """Asks until there is an answer, or an error that waiting will not mend before ``deadline``."""
        clock = asyncio.get_running_loop().time
        attempt = 0
        while True:
            self._check_open()
            left_ms = max(1, int((deadline - clock()) * 1000))
            try:
                answer = await self._transport.post(path, body, {"X-Request-Timeout-Ms": str(left_ms)})
                return read_answer(answer, self._place)
            except ClientError as error:
                self._check_open()
                pause_s = pause_before_retry(error, attempt, self._chance())
                if pause_s is None or clock() + pause_s >= deadline:
                    raise
            await asyncio.sleep(pause_s)
            attempt += 1

    def _check_open(self) -> None:
        if self._closed:
            raise ClientError("the client is closed: make a new one")
