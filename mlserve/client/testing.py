"""A server for the tests of those who use the client: models are functions, and there is no network.

::

    server = FakeServer({"ctr": lambda rows: [{"score": row["age"] / 100} for row in rows]})
    client = AsyncClient("http://fake", transport=server.transport)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final
from urllib.parse import unquote

import orjson

from mlserve.client.transport import HttpAnswer, MakeTransport, Transport
from mlserve.errors import (
    BadRequest,
    ClientError,
    NotReady,
    Overloaded,
    RequestError,
    UnknownModel,
    UnknownRoute,
    Unreachable,
)

Function = Callable[[list[dict[str, Any]]], Sequence[Mapping[str, Any]]]
"""Rows, plain values by input name, to one mapping of outputs for each. It may raise any
:class:`~mlserve.errors.RequestError`."""

_PREFIX: Final = "/v1/api/model/"
_STATUS: Final = {
    BadRequest.code: 400,
    UnknownModel.code: 404,
    UnknownRoute.code: 404,
    Overloaded.code: 429,
    NotReady.code: 503,
}
"""Those that the client tells apart; the others are a 500 here."""


@dataclass(slots=True)
class FakeModel:
    """A model that describes itself, so that the client types and keeps its answers.

    ``inputs`` and ``outputs`` map names to types such as ``float32`` and ``string``, each one value per row. A new
    ``version`` is another generation: what the client kept of the one before is gone. ``size_mb`` is the memory that
    the client may use; 0: none.
    """

    function: Function
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    version: int = 1
    size_mb: float = 1.0
    ttl_s: float = 900.0


@dataclass(slots=True)
class FakeServer:
    """``models`` by ID: a bare function describes nothing, so its answers are typed by their text and not kept.

    ``asked`` are the rows of each request so far. URLs in ``down`` refuse connections. The next requests raise
    ``failures``, one each.
    """

    models: dict[str, FakeModel | Function] = field(default_factory=dict)
    asked: list[list[dict[str, Any]]] = field(default_factory=list)
    down: set[str] = field(default_factory=set)
    failures: list[RequestError | ClientError] = field(default_factory=list)

    def transport(self, url: str) -> Transport:
        """For the client's argument of that name."""
        return _FakeTransport(self, url)

    def answer(self, path: str, body: bytes | None) -> HttpAnswer:
        """What stands at ``path``. Raises the next of ``failures`` that is a :class:`~mlserve.errors.ClientError`."""
        try:
            return HttpAnswer(
                200, "OK", {}, orjson.dumps(self._document(path, body), option=orjson.OPT_SERIALIZE_NUMPY)
            )
        except RequestError as error:
            headers = {} if error.retry_after_s is None else {"Retry-After": str(round(error.retry_after_s))}
            refusal = {"status": "error", "error": str(error), "code": error.code}
            return HttpAnswer(_STATUS.get(error.code, 500), "Error", headers, orjson.dumps(refusal))

    def _document(self, path: str, body: bytes | None) -> object:
        if path == "/healthz":
            return {"status": "ok"}
        model_id, _, route = path.removeprefix(_PREFIX).partition("/")
        model = self.models.get(unquote(model_id))
        if model is None:
            raise UnknownModel(f"no model {unquote(model_id)!r}; there are: {', '.join(self.models)}")
        if route == "eval" and body is not None:
            return self._eval(model, orjson.loads(body))
        if isinstance(model, FakeModel) and route in ("meta/config", "meta/dictionary"):
            return _config(model) if route == "meta/config" else _dictionary(model)
        raise UnknownRoute(f"nothing at {path}")

    def _eval(self, model: FakeModel | Function, values: dict[str, Any]) -> object:
        if self.failures:
            raise self.failures.pop(0)
        size = values.pop("batch_size", None)
        lengths = {len(value) for value in values.values() if isinstance(value, list)} - {1}
        count = size or max(lengths, default=1)
        batch = size is not None or any(isinstance(value, list) for value in values.values())
        rows = [{name: _of_row(value, place) for name, value in values.items()} for place in range(count)]
        self.asked.append(rows)
        if isinstance(model, FakeModel):
            answers, told = list(model.function(rows)), {"dictHash": _dictionary(model)["Hash"]}
        else:
            answers, told = list(model(rows)), {}
        return {"status": "ok", **told, "serviceTimeMcs": 0, "data": answers if batch else answers[0]}


def fake_transport(function: Function, model: str = "model") -> MakeTransport:
    """For the client's argument ``transport``: a server whose only model, ``model``, is ``function``."""
    return FakeServer({model: function}).transport


@dataclass(frozen=True, slots=True)
class _FakeTransport:
    """Implements :class:`~mlserve.client.transport.Transport`."""

    server: FakeServer
    url: str

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        return self._answer(path, body)

    async def get(self, path: str, headers: Mapping[str, str]) -> HttpAnswer:
        return self._answer(path, None)

    async def close(self) -> None:
        pass

    def _answer(self, path: str, body: bytes | None) -> HttpAnswer:
        if self.url in self.server.down:
            raise Unreachable(f"no connection to {self.url}: it is among those that are down")
        return self.server.answer(path, body)


def _of_row(value: Any, place: int) -> Any:
    if not isinstance(value, list):
        return value
    return value[0] if len(value) == 1 else value[place]


def _config(model: FakeModel) -> dict[str, Any]:
    return {
        "ID": "fake",
        "Cache": {"SizeMb": model.size_mb} if model.size_mb else None,
        "TimeToLiveMs": model.ttl_s * 1000,
        "RetryTimeMs": 5000,
        "Inputs": [{"Name": name, "DataType": kind, "Wildcard": True} for name, kind in model.inputs.items()],
        "Outputs": [{"Name": name, "DataType": kind} for name, kind in model.outputs.items()],
    }


def _dictionary(model: FakeModel) -> dict[str, Any]:
    digest = sha256(repr((model.version, dict(model.inputs), dict(model.outputs))).encode())
    number = int.from_bytes(digest.digest()[:8], "big", signed=True)
    return {"Layers": None, "Hash": number, "Generation": digest.hexdigest()}
