"""Every path of the data port: fixed ones from the operators' table, the rest from the protocols."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Final

from mlserve.contracts.protocol import Protocol
from mlserve.errors import RequestError
from mlserve.observe.access import AccessLog, safe_request_id
from mlserve.transport.admin import Admin
from mlserve.transport.evaluation import Evaluation, evaluation
from mlserve.transport.explain import ExplainHandler
from mlserve.transport.message import Abandon, HttpRequest, HttpResponse, Reply
from mlserve.transport.mly.meta import MetaHandler
from mlserve.transport.predict import PredictHandler
from mlserve.transport.status import error_response

_ECHOED: Final = "X-Request-Id"


class Application:
    """The handler of every carrier (HTTP/1.1, HTTP/2)."""

    def __init__(
        self,
        predict: PredictHandler,
        protocols: Sequence[Protocol],
        explain: ExplainHandler,
        meta: MetaHandler,
        admin: Admin,
        access_log: AccessLog,
    ) -> None:
        self._predict = predict
        self._explain = explain
        self._meta = meta
        self._protocols = list(protocols)
        self._admin = admin
        self._access_log = access_log

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        """Raises nothing but ``CancelledError``, which means that the client left."""
        response = await self._route(request)
        request_id = request.headers.get(_ECHOED)
        if request_id:
            response = response.with_header(_ECHOED, safe_request_id(request_id))
        self._log(request, response, request_id)
        return response

    def begin(self, asked: Evaluation, request: HttpRequest, reply: Reply) -> Abandon | None:
        """As a call, for an evaluation of which no header matters, and without a task.

        ``None`` if nothing was begun: call, then. Raises nothing.
        """
        protocol, model_id = asked

        def logged(response: HttpResponse) -> None:
            self._log(request, response)
            reply(response)

        return self._predict.begin(request, protocol, model_id, logged)

    def _log(self, request: HttpRequest, response: HttpResponse, request_id: str | None = None) -> None:
        if self._access_log.picks():
            self._access_log.write(
                peer=request.peer,
                method=request.method,
                path=request.path,
                status=response.status,
                seconds=monotonic() - request.received,
                size=len(response.body),
                request_id=safe_request_id(request_id or ""),
            )

    async def _route(self, request: HttpRequest) -> HttpResponse:
        evaluated = evaluation(self._protocols, request.path)
        if evaluated is not None:
            return await self._predict(request, *evaluated)
        try:
            explained = self._explain.match(request.path)
            if explained is not None:
                return await self._explain(request, explained)
            asked = self._meta.match(request.path)
            if asked is not None:
                return await self._meta(request, asked)
            return await self._admin(request)
        except RequestError as error:
            return error_response(error, monotonic() - request.received)
