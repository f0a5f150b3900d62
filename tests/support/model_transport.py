"""A client's transport with a model behind it and no network: what ``eval`` asks for is answered by a function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from multidict import CIMultiDict

from mlserve.client.plain import PlainClient
from mlserve.client.transport import HttpAnswer


class Refusal(Exception):
    """What the model says no with."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


Model = Callable[[dict[str, Any]], Any]
"""One row's values to its outputs, or a :class:`Refusal`."""


class ModelTransport:
    """Implements ``Transport``. One bad row fails its whole request, as at a real server. ``sizes`` are rows asked."""

    def __init__(self, model: Model, gate: Callable[[dict[str, Any]], Awaitable[None]] | None = None) -> None:
        """``gate`` is awaited with the values of each request before it is answered."""
        self._model = model
        self._gate = gate
        self.asked: list[dict[str, Any]] = []
        self.sizes: list[int | None] = []

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        values = orjson.loads(body)
        self.asked.append(values)
        self.sizes.append(values.get("batch_size"))
        if self._gate is not None:
            await self._gate(values)
        try:
            return _answer(200, {"status": "ok", "data": self._data(values)})
        except Refusal as refusal:
            return _answer(refusal.status, {"status": "error", "error": str(refusal), "code": refusal.code})

    async def get(self, path: str, headers: Mapping[str, str]) -> HttpAnswer:
        return _answer(200, {"status": "ok"})

    async def close(self) -> None:
        pass

    def _data(self, values: dict[str, Any]) -> Any:
        count = values.get("batch_size")
        if count is None:
            return self._model(values)
        columns = {name: column for name, column in values.items() if name != "batch_size"}
        assert all(len(column) == count for column in columns.values())
        return [self._model({name: column[row] for name, column in columns.items()}) for row in range(count)]


def client_of(transport: ModelTransport, *, timeout_s: float = 20.0) -> PlainClient:
    return PlainClient("http://there:1", timeout_s=timeout_s, transport=transport, chance=lambda: 0.0)


def doubling(row: dict[str, Any]) -> Any:
    """``y`` is twice the number ``x``; refuses what is none, as mlserve does, and fails on negative ones."""
    x = row.get("x")
    if type(x) not in (int, float):
        raise Refusal(400, "bad_request", f"field 'x': expected a number (float32), got {x!r}")
    if x < 0:
        raise Refusal(500, "inference_failed", "the model failed (incident 1f)")
    return {"y": 2 * x}


def _answer(status: int, document: object) -> HttpAnswer:
    return HttpAnswer(status, "Reason", CIMultiDict(), orjson.dumps(document))
