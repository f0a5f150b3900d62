"""A caller would get the wrong status, no reason, or nothing, and operators wrong numbers, if these failed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from mlserve.contracts.protocol import Call, Encoded
from mlserve.errors import (
    BadRequest,
    DeadlineExceeded,
    InferenceFailed,
    NotCached,
    NotReady,
    Overloaded,
    RequestError,
)
from mlserve.observe.metrics import Metrics
from mlserve.promise import Promise
from mlserve.protocols.eval import EvalProtocol
from mlserve.serving.deployment import Deployment
from mlserve.serving.events import ModelLoaded, ModelRemoved
from mlserve.serving.manager import Manager
from mlserve.transport.message import Abandon, HttpRequest, HttpResponse
from mlserve.transport.predict import PredictHandler, PredictLimits
from mlserve.types import CacheUse, Context, DType, Interface, Rows, TensorSpec
from tests.support.deployments import FakeView, deployment, double, interface
from tests.support.eval_requests import FakeManager, request, said

PROTOCOL = EvalProtocol()
LIMITS = PredictLimits(timeout_s=30.0, max_rows=4)


class Port:
    """A handler over one model ``m``, and everything it tells. ``without_task``: it is not called, it begins."""

    without_task = False

    def __init__(self, *deployments: Deployment, limits: PredictLimits = LIMITS) -> None:
        self.metrics = Metrics()
        self.manager = FakeManager({made.model_id: made for made in deployments} or {"m": deployment()})
        self.handler = PredictHandler(cast("Manager", self.manager), self.metrics, limits)

    async def __call__(
        self, asked: HttpRequest, model_id: str = "m", protocol: EvalProtocol = PROTOCOL
    ) -> HttpResponse:
        answered: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        abandon = self.handler.begin(asked, protocol, model_id, answered.set_result) if self.without_task else None
        if abandon is None:
            return await self.handler(asked, protocol, model_id)
        try:
            return await answered
        except asyncio.CancelledError:
            abandon()
            raise

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    def requests(self, status: int, model: str = "m") -> float | None:
        return self.sample("mlserve_requests_total", model=model, protocol="eval", code=str(status))

    def models(self) -> set[str]:
        """Every value of the label ``model`` that is shown."""
        return {
            sample.labels["model"]
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if "model" in sample.labels
        }

    def remove(self, model_id: str) -> None:
        """As the manager does after a drain, through both of its listeners."""
        self.metrics.on_event(ModelRemoved(model_id))
        self.handler.forget(model_id)


@pytest.fixture(params=[False, True], ids=["called", "begun"], autouse=True)
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Carriers with a task for each request and those without must get the same."""
    monkeypatch.setattr(Port, "without_task", request.param)


def failing(error: Exception) -> Deployment:
    async def predict(asked: Rows, context: Context) -> Rows:
        raise error

    return deployment(predict)


class TestAnswering:
    async def test_one_row(self) -> None:
        """The plain case, by query."""
        response = await Port()(request(query="x=1.5"))
        assert (response.status, response.content_type) == (200, "application/json")
        body = said(response)
        assert body.pop("serviceTimeMcs") >= 0
        assert body == {"status": "ok", "dictHash": 7, "data": {"y": 3}}

    async def test_a_batch(self) -> None:
        """The plain case, by body."""
        response = await Port()(request(body={"x": [1, 2]}))
        assert said(response)["data"] == [{"y": 2}, {"y": 4}]

    async def test_service_time_counts_from_the_first_byte(self) -> None:
        """mly's clients subtract it from what they measured."""
        assert said(await Port()(request(query="x=1", age_s=2.0)))["serviceTimeMcs"] >= 2_000_000

    async def test_the_caller_s_id_travels_with_the_rows(self) -> None:
        """Cleaned, since it reaches logs."""
        seen: list[Context] = []

        async def predict(asked: Rows, context: Context) -> Rows:
            seen.append(context)
            return await double(asked, context)

        await Port(deployment(predict))(request(query="x=1", headers={"X-Request-Id": "a b"}))
        assert seen[0].request_id == "a_b"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BadRequest("field 'x': too odd", field="x"), 400, "bad_request"),
        (Overloaded("m has 9 rows waiting; its limit is 9", retry_after_s=2.4), 429, "overloaded"),
        (InferenceFailed("the model failed; see incident 1f", incident="1f"), 500, "inference_failed"),
        (NotReady("m is closing"), 503, "not_ready"),
        (DeadlineExceeded("m did not answer before the deadline"), 504, "deadline_exceeded"),
    ],
)
async def test_each_error_has_its_status_and_says_what_happened(error: RequestError, status: int, code: str) -> None:
    """Callers decide by status and code whether to mend, wait or give up."""
    port = Port(failing(error))
    response = await port(request(query="x=1", age_s=0.5))
    body = said(response)
    assert response.status == status
    assert body.pop("serviceTimeMcs") >= 500_000
    assert body == {"status": "error", "error": str(error), "code": code}
    assert response.content_type == "application/json"
    assert response.headers.get("Retry-After") == {429: "3", 503: "1"}.get(status)
    assert port.requests(status) == 1
    assert port.sample("mlserve_rows_total", model="m") in (None, 0)


@pytest.mark.parametrize(
    ("asked", "model_id", "status", "code"),
    [
        (request(query="z=1"), "m", 400, "bad_request"),
        (request(body=b"{"), "m", 400, "bad_request"),
        (request(query="x=1"), "nobody", 404, "unknown_model"),
        (request(query="x=1", method="DELETE"), "m", 405, "wrong_method"),
        (request(body={"x": [1, 2, 3, 4, 5]}), "m", 413, "too_large"),
        (request(query="x=1"), "loading", 503, "not_ready"),
    ],
)
async def test_what_never_reaches_a_model(asked: HttpRequest, model_id: str, status: int, code: str) -> None:
    """The model must not see it, and its metrics must not either."""
    seen: list[Rows] = []

    async def predict(rows: Rows, context: Context) -> Rows:
        seen.append(rows)
        return rows

    port = Port(deployment(predict))
    port.manager.deployments["loading"] = None
    response = await port(asked, model_id)
    assert (response.status, said(response)["code"]) == (status, code)
    assert seen == []


async def test_a_wrong_verb_says_which_are_right() -> None:
    """RFC 9110 asks for it, and so does whoever reads the answer."""
    response = await Port()(request(method="PUT"))
    assert response.headers["Allow"] == "GET, HEAD, POST"


async def test_an_answer_without_a_form_in_json_is_an_incident(caplog: pytest.LogCaptureFixture) -> None:
    """Only user code makes one; its caller gets an id, and the request is counted as any other."""

    async def predict(asked: Rows, context: Context) -> Rows:
        column = np.empty(asked.count, object)
        column[:] = [object() for _ in range(asked.count)]
        return Rows({"y": column}, asked.count)

    port = Port(deployment(predict, interface(outputs=None)))
    with caplog.at_level(logging.ERROR):
        response = await port(request(query="x=1"))
    body = said(response)
    assert (response.status, body["code"]) == (500, "inference_failed")
    assert "no form in JSON" not in body["error"]
    assert "no form in JSON" in caplog.text
    assert body["error"].rsplit(" ", 1)[-1] in caplog.text
    assert port.requests(500) == 1


class TestDeadline:
    @staticmethod
    async def given(headers: dict[str, str], limit_s: float = 30.0, age_s: float = 0.0) -> float | HttpResponse:
        """Seconds that a model gets, counted from the first byte of its request."""
        seen: list[float] = []
        asked = request(query="x=1", headers=headers, age_s=age_s)

        async def predict(rows: Rows, context: Context) -> Rows:
            seen.append(context.deadline - asked.received)
            return await double(rows, context)

        response = await Port(deployment(predict), limits=PredictLimits(limit_s, 4))(asked)
        return seen[0] if seen else response

    @pytest.mark.parametrize(
        ("header", "seconds"),
        [({}, 30.0), ({"X-Request-Timeout-Ms": "250"}, 0.25), ({"x-request-timeout-ms": "1"}, 0.001)],
    )
    async def test_it_is_the_caller_s_or_the_server_s(self, header: dict[str, str], seconds: float) -> None:
        """In milliseconds, by any spelling of the header."""
        # The request is as old as nothing: a deadline of 1 ms may well have passed by the time it is decoded.
        given = await self.given(header)
        assert given == pytest.approx(seconds) if isinstance(given, float) else given.status == 504

    async def test_a_caller_may_not_lengthen_it(self) -> None:
        """``WriteTimeoutMs`` is what the drain and the operator rely on."""
        assert await self.given({"X-Request-Timeout-Ms": "999999999"}, limit_s=2.0) == pytest.approx(2.0)

    @pytest.mark.parametrize("text", ["", "0", "-5", "1.5", "1e3", "9" * 10, "٣", "5s", "nan", " 5", "+5"])
    async def test_anything_but_whole_milliseconds_is_refused(self, text: str) -> None:
        """A header misread as "no deadline" would be found out under load."""
        response = await self.given({"X-Request-Timeout-Ms": text})
        assert isinstance(response, HttpResponse)
        assert response.status == 400
        assert "X-Request-Timeout-Ms" in said(response)["error"]

    async def test_what_came_too_late_is_not_run(self) -> None:
        """A slow sender may have used it up."""
        response = await self.given({"X-Request-Timeout-Ms": "250"}, age_s=0.3)
        assert isinstance(response, HttpResponse)
        assert (response.status, said(response)["code"]) == (504, "deadline_exceeded")


class TestCounting:
    async def test_requests_rows_and_seconds(self) -> None:
        """By model, protocol and status."""
        port = Port()
        await port(request(query="x=1"))
        await port(request(body={"x": [1, 2, 3]}))
        await port(request(query="x=oops"))
        assert (port.requests(200), port.requests(400)) == (2, 1)
        assert port.sample("mlserve_rows_total", model="m") == 4
        assert port.sample("mlserve_request_seconds_count", model="m", protocol="eval") == 3

    async def test_numbers_that_json_cannot_hold(self) -> None:
        """They are answered ``null``: somebody should hear of it."""

        async def predict(asked: Rows, context: Context) -> Rows:
            return Rows({"y": np.asarray([np.nan, 1, -np.inf], np.float32)}, 3)

        port = Port(deployment(predict))
        assert said(await port(request(body={"x": [1, 2, 3]})))["data"] == [{"y": None}, {"y": 1}, {"y": None}]
        assert port.sample("mlserve_non_finite_outputs_total", model="m") == 2

    async def test_unknown_ids_share_one_empty_label(self) -> None:
        """Else anybody could fill the memory with series."""
        port = Port()
        for number in range(20):
            await port(request(query="x=1"), f"made-up-{number}")
        assert port.requests(404, model="") == 20
        assert port.models() == {""}

    async def test_series_of_a_removed_model_go_and_a_late_request_does_not_bring_them_back(self) -> None:
        """A request may outlive the drain of its model."""
        inside, release = asyncio.Event(), asyncio.Event()

        async def predict(asked: Rows, context: Context) -> Rows:
            inside.set()
            await release.wait()
            return Rows({"y": np.full(asked.count, np.nan, np.float32)}, asked.count)

        made = deployment(predict)
        port = Port(made)
        port.metrics.on_event(ModelLoaded(made, None))
        late = asyncio.create_task(port(request(query="x=1")))
        await inside.wait()
        assert port.models() == {"m"}
        del port.manager.deployments["m"]
        port.remove("m")
        assert port.models() == set()
        release.set()
        assert (await late).status == 200
        assert port.models() == {""}
        assert port.requests(200, model="") == 1

    async def test_a_model_that_comes_back_is_counted_anew(self) -> None:
        """The children kept for the hot path must be those that are shown."""
        port = Port()
        await port(request(query="x=1"))
        port.remove("m")
        await port(request(query="x=1"))
        assert port.requests(200) == 1
        assert port.sample("mlserve_rows_total", model="m") == 1


class TestCallers:
    async def test_a_caller_who_leaves_is_counted_out(self) -> None:
        """The version could never drain."""
        inside = asyncio.Event()

        async def predict(asked: Rows, context: Context) -> Rows:
            inside.set()
            await asyncio.Event().wait()
            return asked

        made = deployment(predict)
        task = asyncio.create_task(Port(made)(request(query="x=1")))
        await inside.wait()
        assert made.callers == 1
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert made.callers == 0
        await made.close(drain_s=0)

    @pytest.mark.parametrize("make", [deployment, lambda: failing(Overloaded("full")), lambda: failing(ValueError())])
    async def test_callers_are_counted_out_however_it_ends(self, make: Callable[[], Deployment]) -> None:
        """One forgotten caller per error would keep every version in memory."""
        made = make()
        await Port(made)(request(query="x=1"))
        assert made.callers == 0

    async def test_encoding_happens_inside(self) -> None:
        """The version's interface and memory must outlast the answer that is made from them."""
        counts: list[int] = []

        class Watching(EvalProtocol):
            def encode(self, answer: Rows, call: Call, interface: Interface) -> Encoded:
                counts.append(made.callers)
                return super().encode(answer, call, interface)

        made = deployment()
        await Port(made)(request(query="x=1"), protocol=Watching())
        assert counts == [1]


async def test_outputs_are_those_of_the_version_that_answered() -> None:
    """A swap during the run must not dress its answer in the new version's interface."""
    port = Port()

    async def predict(asked: Rows, context: Context) -> Rows:
        wider = interface(outputs=(TensorSpec("other", DType.FLOAT32, (None,)),), dict_hash=8)
        port.manager.deployments["m"] = deployment(face=wider)
        return await double(asked, context)

    port.manager.deployments["m"] = deployment(predict)
    body = said(await port(request(query="x=1")))
    assert (body["dictHash"], body["data"]) == (7, {"y": 2})


class Cached:
    """A port over one model whose chain says what the cache did; ``seen`` are the contexts of its requests."""

    def __init__(self, status: str = "memory; hit; ttl=5", key: bytes | None = b"key", **limits: Any) -> None:
        self.view = FakeView(not_cached=None)
        self.seen: list[Context] = []
        self.status = status
        self.key = key
        self.port = Port(
            deployment(self._predict, cache=self.view), limits=PredictLimits(timeout_s=30.0, max_rows=4, **limits)
        )

    async def _predict(self, asked: Rows, context: Context) -> Rows:
        self.seen.append(context)
        context.cache_status = self.status
        context.stored_as = self.key
        return await double(asked, context)


class TestCaching:
    async def test_the_answer_says_how_the_cache_took_part(self) -> None:
        """RFC 9211, in the chain's words."""
        cached = Cached("mlserve; fwd=miss; stored", None)
        assert (await cached.port(request(query="x=1"))).headers == {"Cache-Status": "mlserve; fwd=miss; stored"}

    async def test_a_version_that_is_not_cached_says_nothing(self) -> None:
        assert "Cache-Status" not in (await Port()(request(query="x=1"))).headers

    @pytest.mark.parametrize("asked", [{"query": "x=1"}, {"body": {"x": 1}}])
    async def test_a_hit_is_recorded_and_then_answered_without_decoding(self, asked: dict[str, Any]) -> None:
        """The same body but for its service time, counted as any other."""
        cached = Cached()
        first = await cached.port(request(**asked))
        again = await cached.port(request(**asked, age_s=2.0))
        assert len(cached.seen) == 1
        assert said(first)["data"] == said(again)["data"] == {"y": 2}
        assert said(first).keys() == said(again).keys()
        assert said(again)["serviceTimeMcs"] >= 2_000_000
        assert again.content_type == "application/json"
        assert again.headers == {"Cache-Status": "memory; hit; ttl=863"}
        assert cached.port.requests(200) == 2
        assert cached.port.sample("mlserve_rows_total", model="m") == 2
        labels = {"model": "m", "tier": "memory", "result": "hit"}
        assert cached.port.sample("mlserve_cache_lookups_total", **labels) == 1  # the fake chain observes nothing

    async def test_a_miss_is_not_recorded(self) -> None:
        """Nobody may ever ask again."""
        cached = Cached("mlserve; fwd=miss; stored", None)
        await cached.port(request(query="x=1"))
        assert cached.view.recordings == {}

    async def test_requests_that_mean_other_things_are_kept_apart(self) -> None:
        """A body that reads like a query is another question; a HEAD is the question of its GET."""
        cached = Cached()
        await cached.port(request(query="x=1"))
        await cached.port(request(query="x=2"))
        assert said(await cached.port(request(query="x=2")))["data"] == {"y": 4}
        assert (await cached.port(request(body=b"x=1"))).status == 400
        await cached.port(request(query="x=1", method="HEAD"))
        assert len(cached.seen) == 2
        assert len(cached.view.recordings) == 2

    async def test_other_protocols_have_recordings_of_their_own(self) -> None:
        """Their bodies look different."""

        class Other(EvalProtocol):
            name = "other"

        cached = Cached()
        await cached.port(request(query="x=1"))
        await cached.port.handler(request(query="x=1"), Other(), "m")
        assert len(cached.seen) == 2

    async def test_long_requests_are_not_kept(self) -> None:
        """They cost more to keep than to decode."""
        cached = Cached()
        for asked in (request(query="x=1&" + "z" * 20_000), request(body=b'{"x":1' + b" " * 20_000 + b"}")):
            assert (await cached.port(asked)).status == 200
        assert cached.view.recordings == {}

    @pytest.mark.parametrize("headers", [{"X-Request-Timeout-Ms": "9000"}, {"Cache-Control": "no-cache"}])
    async def test_requests_with_wishes_go_the_whole_way(self, headers: dict[str, str]) -> None:
        """What was recorded knows nothing of them."""
        cached = Cached()
        await cached.port(request(query="x=1"))
        response = await cached.port(request(query="x=1", headers=headers))
        assert len(cached.seen) == 2
        assert response.headers["Cache-Status"] == "memory; hit; ttl=5"

    async def test_a_deadline_of_the_caller_s_is_still_read(self) -> None:
        """A wrong one is refused although the answer is at hand."""
        cached = Cached()
        await cached.port(request(query="x=1"))
        assert (await cached.port(request(query="x=1", headers={"X-Request-Timeout-Ms": "soon"}))).status == 400
        late = await cached.port(request(query="x=1", headers={"X-Request-Timeout-Ms": "10"}, age_s=1.0))
        assert late.status == 504

    async def test_numbers_that_json_cannot_hold_are_counted_each_time(self) -> None:
        """So such an answer is not recorded."""
        cached = Cached()

        async def predict(asked: Rows, context: Context) -> Rows:
            context.stored_as = b"key"
            return Rows({"y": np.asarray([np.nan], np.float32)}, 1)

        port = Port(deployment(predict, cache=cached.view))
        for _ in range(2):
            await port(request(query="x=1"))
        assert port.sample("mlserve_non_finite_outputs_total", model="m") == 2
        assert cached.view.recordings == {}

    @pytest.mark.parametrize(
        ("header", "use"),
        [("no-store", CacheUse.NO_STORE), ("no-cache", CacheUse.NO_CACHE), ("only-if-cached", CacheUse.ONLY_IF_CACHED)],
    )
    async def test_callers_say_how_the_cache_is_to_take_part(self, header: str, use: CacheUse) -> None:
        """Unless the operator does not let them."""
        cached, deaf = Cached(), Cached(client_cache_control=False)
        for made in (cached, deaf):
            assert (await made.port(request(query="x=1", headers={"Cache-Control": header}))).status == 200
        assert cached.seen[0].cache is use
        assert deaf.seen[0].cache is CacheUse.NORMAL

    async def test_only_if_cached_on_a_miss_is_504(self) -> None:
        response = await Port(failing(NotCached("1 of 1 rows are not cached")))(request(query="x=1"))
        assert (response.status, said(response)["code"]) == (504, "not_cached")

    async def test_keys_of_callers_that_are_wrong_are_counted_each_time(self) -> None:
        """And the row is answered all the same. Rows whose keys are right are recorded as ever."""
        cached = Cached()
        cached.view.refuses = frozenset({"wrong"})
        for key in ("wrong", "wrong", "right", "right"):
            response = await cached.port(request(body={"x": 1, "cache_key": key}))
            assert (response.status, said(response)["data"]) == (200, {"y": 2})
        assert cached.port.sample("mlserve_cache_keys_refused_total", model="m") == 2
        assert len(cached.view.recordings) == 1
        await cached.port(request(body={"x": [1, 2, 3], "cache_key": ["wrong", "right", "wrong"]}))
        assert cached.port.sample("mlserve_cache_keys_refused_total", model="m") == 4


class TestWithoutATask:
    """What callers must not notice, and carriers have to know, of requests that have no task."""

    @staticmethod
    def begun(port: Port, query: str = "x=1") -> tuple[list[HttpResponse], Abandon | None]:
        replies: list[HttpResponse] = []
        return replies, port.handler.begin(request(query=query), PROTOCOL, "m", replies.append)

    async def test_an_answer_that_is_there_is_given_at_once(self) -> None:
        """No turn of the loop: that is what it is for."""

        def predict(asked: Rows, context: Context) -> Promise:
            return Promise.of(Rows({"y": asked.columns["x"] * 2}, asked.count))

        replies, abandon = self.begun(Port(deployment(predict)))
        assert abandon is not None
        assert [said(reply)["data"] for reply in replies] == [{"y": 2}]

    async def test_a_refusal_is_given_at_once(self) -> None:
        """And it holds no slot."""
        port = Port(limits=replace(LIMITS, evaluations=1))
        for _ in range(3):
            replies, _ = self.begun(port, "x=a")
            assert [reply.status for reply in replies] == [400]
        assert port.requests(400) == 3

    async def test_who_leaves_gets_no_reply_and_holds_nothing(self) -> None:
        """The slot and the place inside the version are free, nothing is counted, and the run is told."""

        class Abandoned(Promise):
            def abandon(self) -> None:
                self.fail(asyncio.CancelledError())

        made = deployment(lambda asked, context: Abandoned())
        port = Port(made, limits=replace(LIMITS, evaluations=1))
        replies, abandon = self.begun(port)
        assert abandon is not None
        assert (made.callers, self.begun(port)) == (1, ([], None)), "the only slot is taken"
        abandon()
        assert (replies, made.callers, port.requests(200), port.requests(500)) == ([], 0, None, None)
        assert self.begun(port)[1] is not None

    async def test_a_run_that_is_cancelled_by_others_is_answered(self, caplog: pytest.LogCaptureFixture) -> None:
        """The client still waits, whoever had the idea."""
        waiting = Promise()
        replies, _ = self.begun(Port(deployment(lambda asked, context: waiting)))
        waiting.fail(asyncio.CancelledError())
        assert [reply.status for reply in replies] == [500]
        assert "CancelledError" in caplog.text

    async def test_while_every_evaluator_is_busy_nothing_is_begun(self) -> None:
        """Waiting in line is for those who have a task."""
        read: list[str] = []

        class Watching(EvalProtocol):
            def decode(self, asked: Any, interface: Interface, *, max_rows: int) -> Call:
                read.append(asked.query)
                return super().decode(asked, interface, max_rows=max_rows)

        port = Port(deployment(lambda asked, context: Promise()), limits=replace(LIMITS, evaluations=1))
        assert port.handler.begin(request(query="x=1"), Watching(), "m", lambda response: None) is not None
        assert port.handler.begin(request(query="x=2"), Watching(), "m", lambda response: None) is None
        assert read == ["x=1"]
