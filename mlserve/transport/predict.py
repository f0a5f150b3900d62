"""One prediction over HTTP: match, decode, enter a deployment, predict, encode. Knows no protocol and no model."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Final

from mlserve.contracts.protocol import Encoded, Protocol
from mlserve.errors import BadRequest, DeadlineExceeded, RequestError, WrongMethod
from mlserve.inference.failure import inference_failed
from mlserve.observe.access import safe_request_id
from mlserve.observe.metrics import Metrics
from mlserve.observe.model_metrics import ModelMetrics
from mlserve.serving.deployment import Deployment
from mlserve.serving.manager import Manager
from mlserve.transport.cache_control import cache_use
from mlserve.transport.evaluators import Evaluators
from mlserve.transport.message import HttpRequest, HttpResponse
from mlserve.transport.question import question_of
from mlserve.transport.status import error_response
from mlserve.types import CacheUse, Context

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
        try:
            response = await self._answer(request, protocol, model_id)
        except RequestError as error:
            response = error_response(error, monotonic() - request.received)
        except Exception as error:  # such as an answer of user code that the protocol has no form for
            failed = inference_failed(model_id, "the answer", error)
            response = error_response(failed, monotonic() - request.received)
        known = model_id if model_id in self._manager else ""
        self._metrics.request(known, protocol.name, response.status, monotonic() - request.received)
        return response

    async def _answer(self, request: HttpRequest, protocol: Protocol, model_id: str) -> HttpResponse:
        if request.method not in protocol.methods:
            raise WrongMethod(f"{protocol.name} takes {', '.join(protocol.methods)}", allow=protocol.methods)
        headers = request.headers
        timeout, cache_control = headers.get(TIMEOUT_HEADER), headers.get("Cache-Control")
        with self._manager.acquire(model_id) as deployment:
            # Taken now: a request that ends after its model was removed must not bring that model's series back.
            metrics = self._model_metrics(model_id)
            plain = timeout is None and cache_control is None and deployment.cache.not_cached is None
            question = question_of(protocol, request.method, request.query, request.body) if plain else None
            if question is not None and (replayed := self._replayed(request, question, protocol, deployment)):
                return replayed
            context = Context(
                deadline=request.received + self._timeout_s(timeout),
                request_id=safe_request_id(headers.get("X-Request-Id", "")),
                cache=cache_use(cache_control) if self._limits.client_cache_control else CacheUse.NORMAL,
            )
            call = protocol.decode(request, deployment.interface, max_rows=self._limits.max_rows)
            if call.cache_key is not None and (refused := deployment.cache.refused_keys(call.rows, call.cache_key)):
                metrics.keys_refused.inc(refused)
                question = None  # sent again, it is counted again
            if monotonic() >= context.deadline:
                raise DeadlineExceeded("the deadline passed before the request was read")
            with await self._evaluators.slot(context.deadline):
                answer = await deployment.predict(call.rows, context)
            encoded = protocol.encode(answer, call, deployment.interface)
            if context.stored_as is not None and question is not None and encoded.timed and not encoded.non_finite:
                deployment.cache.record(question, context.stored_as, encoded.head, encoded.tail)
        metrics.rows.inc(call.rows.count)
        if encoded.non_finite:
            metrics.non_finite.inc(encoded.non_finite)
        body = encoded.body(_microseconds_since(request.received))
        return HttpResponse(200, body, protocol.content_type, _cache_header(context.cache_status))

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


def _microseconds_since(received: float) -> int:
    return int((monotonic() - received) * 1e6)


def _hit(ttl_s: float) -> str:
    return f"memory; hit; ttl={int(ttl_s)}"


_NO_HEADERS: Final[dict[str, str]] = {}


def _cache_header(status: str) -> dict[str, str]:
    """RFC 9211; nothing for a version that is not cached."""
    return {"Cache-Status": status} if status else _NO_HEADERS
