"""Predictions as they came, in JSON: what ``mlserve eval`` needs of a client, without types and caches."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import orjson

from mlserve.client.answer import Answer, read_answer
from mlserve.client.budget import RetryBudget
from mlserve.client.http import HttpTransport
from mlserve.client.remote import Remote, Request
from mlserve.client.transport import Transport

TIMEOUT_S: Final = 30.0


def eval_path(model: str) -> str:
    """Where ``model``, which is one segment of the path whatever its name, is asked."""
    return f"/v1/api/model/{quote(model, safe='')}/eval"


class PlainClient:
    """One server. Use it with ``async with``, or :meth:`close` it; several tasks may ask at once.

    ``timeout_s`` bounds one call, tries again included. It asks again for as long: who calls has one thing to do.
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
        self._remote = Remote(
            [url], lambda url: transport or HttpTransport(url), budget=RetryBudget(None), chance=chance
        )
        self._timeout_s = timeout_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Calls under way end with :class:`~mlserve.errors.ClientError`."""
        await self._remote.close()

    async def eval(self, model: str, values: Mapping[str, Any]) -> Answer:
        """Ask ``model``: ``values`` by input name are what the JSON of ``eval`` takes, ``batch_size`` included.

        Raises the leaves of :class:`~mlserve.errors.ClientError`, and :class:`TypeError` for a value that JSON has no
        form for.
        """
        request = Request(eval_path(model), orjson.dumps(values), read_answer, {})
        return (await self._remote.ask(request, self._timeout_s)).answer
