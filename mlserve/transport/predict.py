"""One prediction over HTTP: match, decode, enter a deployment, predict, encode. Knows no protocol and no model."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Final

from mlserve.contracts.protocol import Call, Encoded, Protocol
from mlserve.errors import BadRequest, DeadlineExceeded, RequestError, WrongMethod
from mlserve.inference.failure import inference_failed
from mlserve.observe.access import safe_request_id
from mlserve.observe.metrics import Metrics
from mlserve.observe.model_metrics import ModelMetrics
from mlserve.promise import Promise
from mlserve.serving.deployment import Deployment
from mlserve.serving.manager import Manager
from mlserve.transport.cache_control import cache_use
from mlserve.transport.evaluators import Evaluators
from mlserve.transport.message import Abandon, HttpRequest, HttpResponse, Reply
from mlserve.transport.question import question_of
from mlserve.transport.status import error_response
from mlserve.types import CacheUse, Context, Rows

TIMEOUT_HEADER: Final = "X-Request-Timeout-Ms"


@dataclass(frozen=True, slots=True)
class PredictLimits:
    """``timeout_s`` is a request's deadline, counted from its first byte; a caller may only shorten it.

    ``evaluations`` are predicted for at once, of all models together; others wait ``evaluation_wait_s`` at most.
    """

    timeout_s: float
    max_rows: int
    client_cache_control: bool = True
    """False: request ``Cache-Control`` is ignored."""
    evaluations: int = 5000
    evaluation_wait_s: float = 0.05


@dataclass(slots=True)  # not frozen, as HttpRequest
class _Asked:
    """A request that was read, and the version that is to answer it."""

    request: HttpRequest
    protocol: Protocol
    deployment: Deployment
    metrics: ModelMetrics
    question: bytes | None
    call: Call
    context: Context


class PredictHandler:
    """Answers every request for a model, errors included."""

    def __init__(self, manager: Manager, metrics: Metrics, limits: PredictLimits) -> None:
        self._manager = manager
        self._metrics = metrics
        self._limits = limits
        self._evaluators = Evaluators(limits.evaluations, limits.evaluation_wait_s)
        self._of_model: dict[str, ModelMetrics] = {}

    def forget(self, model_id: str) -> None:
        """The model was removed: its metrics' children are stale."""
        self._of_model.pop(model_id, None)

    async def __call__(self, request: HttpRequest, protocol: Protocol, model_id: str) -> HttpResponse:
        """Raises nothing but ``CancelledError``."""
        asked = self._read(request, protocol, model_id)
        if isinstance(asked, HttpResponse):
            return self._counted(asked, request, protocol, model_id)
        try:
            with asked.deployment:
                with await self._evaluators.slot(asked.context.deadline):
                    answer = await asked.deployment.predict(asked.call.rows, asked.context)
                response = self._reply(asked, answer)
        except Exception as error:
            response = _refusal(request, model_id, error)
        return self._counted(response, request, protocol, model_id)

    def begin(self, request: HttpRequest, protocol: Protocol, model_id: str, reply: Reply) -> Abandon | None:
        """As a call, but in this very step, as far as it goes without a wait, and without a task for the request.

        ``reply`` gets the answer, now or in a later step, once. Who does not want it any more calls what comes back;
        then ``reply`` gets none. ``None``: nothing was begun, for every evaluator is busy. Raises nothing.
        """
        if not self._evaluators.take():
            return None
        asked = self._read(request, protocol, model_id)
        if isinstance(asked, HttpResponse):
            self._evaluators.give_back()
            reply(self._counted(asked, request, protocol, model_id))
            return _nothing_to_abandon
        abandoned = False

        def abandon() -> None:
            nonlocal abandoned
            abandoned = True
            promise.abandon()

        def ended(promise: Promise) -> None:
            self._evaluators.give_back()
            if abandoned:
                return
            try:
                response = self._reply(asked, promise.result())
            except BaseException as error:  # cancelled by whatever ran, and not by us, among them
                response = _refusal(request, model_id, error)
            reply(self._counted(response, request, protocol, model_id))

        promise = asked.deployment.begin(asked.call.rows, asked.context, ended)
        return abandon

    def _read(self, request: HttpRequest, protocol: Protocol, model_id: str) -> _Asked | HttpResponse:
        """A request that is to be predicted for, or the answer to one that is not: recorded before, or refused."""
        try:
            deployment = self._serving(request, protocol, model_id)
            question = self._question(request, protocol, deployment)
            replayed = None if question is None else self._replayed(request, question, protocol, deployment)
            return replayed or self._decoded(request, protocol, deployment, question)
        except Exception as error:
            return _refusal(request, model_id, error)

    def _serving(self, request: HttpRequest, protocol: Protocol, model_id: str) -> Deployment:
        if request.method not in protocol.methods:
            raise WrongMethod(f"{protocol.name} takes {', '.join(protocol.methods)}", allow=protocol.methods)
        return self._manager.acquire(model_id)

    def _question(self, request: HttpRequest, protocol: Protocol, deployment: Deployment) -> bytes | None:
        """What the answer is recorded under; ``None`` if it is not to be recorded, nor answered by a recording."""
        headers = request.headers
        if deployment.cache.not_cached is not None or TIMEOUT_HEADER in headers or "Cache-Control" in headers:
            return None
        return question_of(protocol, request.method, request.query, request.body)

    def _decoded(
        self, request: HttpRequest, protocol: Protocol, deployment: Deployment, question: bytes | None
    ) -> _Asked:
        """Raises :class:`RequestError`."""
        headers = request.headers
        # Taken now: a request that ends after its model was removed must not bring that model's series back.
        metrics = self._model_metrics(deployment.model_id)
        context = Context(
            deadline=request.received + self._timeout_s(headers.get(TIMEOUT_HEADER)),
            request_id=safe_request_id(headers.get("X-Request-Id", "")),
            cache=cache_use(headers.get("Cache-Control")) if self._limits.client_cache_control else CacheUse.NORMAL,
        )
        call = protocol.decode(request, deployment.interface, max_rows=self._limits.max_rows)
        if call.cache_key is not None and (refused := deployment.cache.refused_keys(call.rows, call.cache_key)):
            metrics.keys_refused.inc(refused)
            question = None  # sent again, it is counted again
        if monotonic() >= context.deadline:
            raise DeadlineExceeded("the deadline passed before the request was read")
        return _Asked(request, protocol, deployment, metrics, question, call, context)

    def _reply(self, asked: _Asked, answer: Rows) -> HttpResponse:
        """Raises what the protocol raises for an answer that it has no form for, such as user code may give."""
        call, context, metrics = asked.call, asked.context, asked.metrics
        encoded = asked.protocol.encode(answer, call, asked.deployment.interface)
        if context.stored_as is not None and asked.question is not None and encoded.timed and not encoded.non_finite:
            asked.deployment.cache.record(asked.question, context.stored_as, encoded.head, encoded.tail)
        metrics.rows.inc(call.rows.count)
        if encoded.non_finite:
            metrics.non_finite.inc(encoded.non_finite)
        body = encoded.body(_microseconds_since(asked.request.received))
        return HttpResponse(200, body, asked.protocol.content_type, _cache_header(context.cache_status))

    def _counted(self, response: HttpResponse, request: HttpRequest, protocol: Protocol, model_id: str) -> HttpResponse:
        known = model_id if model_id in self._manager else ""
        self._metrics.request(known, protocol.name, response.status, monotonic() - request.received)
        return response

    def _replayed(
        self, request: HttpRequest, question: bytes, protocol: Protocol, deployment: Deployment
    ) -> HttpResponse | None:
        """The answer recorded for ``question``, if there is one."""
        recording = deployment.cache.recall(question)
        if recording is None:
            return None
        self._model_metrics(deployment.model_id).hit()
        body = Encoded(recording.head, recording.tail).body(_microseconds_since(request.received))
        return HttpResponse(200, body, protocol.content_type, _cache_header(_hit(recording.ttl_s)))

    def _model_metrics(self, model_id: str) -> ModelMetrics:
        metrics = self._of_model.get(model_id)
        if metrics is None:
            metrics = self._of_model[model_id] = self._metrics.model(model_id)
        return metrics

    def _timeout_s(self, text: str | None) -> float:
        if text is None:
            return self._limits.timeout_s
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) > 0):
            raise BadRequest(f"{TIMEOUT_HEADER} must be a whole number of milliseconds above 0")
        return min(self._limits.timeout_s, int(text) / 1000)


def _refusal(request: HttpRequest, model_id: str, error: BaseException) -> HttpResponse:
    if not isinstance(error, RequestError):
        error = inference_failed(model_id, "the answer", error)
    return error_response(error, monotonic() - request.received)


def _nothing_to_abandon() -> None:
    pass


def _microseconds_since(received: float) -> int:
    return int((monotonic() - received) * 1e6)


def _hit(ttl_s: float) -> str:
    return f"memory; hit; ttl={int(ttl_s)}"


_NO_HEADERS: Final[dict[str, str]] = {}


def _cache_header(status: str) -> dict[str, str]:
    """RFC 9211; nothing for a version that is not cached."""
    return {"Cache-Status": status} if status else _NO_HEADERS
