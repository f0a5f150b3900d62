"""Requests would go to the wrong place, or leave no trace of whose they were, if these failed."""

from __future__ import annotations

import logging
from typing import Any, Literal, cast

import pytest

from mlserve.observe.access import AccessLog
from mlserve.observe.metrics import Metrics
from mlserve.protocols.eval import EvalProtocol
from mlserve.serving.manager import Manager
from mlserve.transport.access import Guard
from mlserve.transport.admin import Admin
from mlserve.transport.application import Application
from mlserve.transport.explain import ExplainHandler
from mlserve.transport.mly.meta import MetaHandler
from mlserve.transport.predict import PredictHandler, PredictLimits
from tests.support.deployments import deployment
from tests.support.eval_requests import EVAL, FakeManager, loaded_config, request, said


def application(log: Literal["off", "all"] = "off") -> Application:
    manager, metrics = cast("Manager", FakeManager({"m": deployment()})), Metrics()
    predict = PredictHandler(manager, metrics, PredictLimits(30.0, 10))
    guard = Guard(())
    admin = Admin(manager, metrics, loaded_config(), guard)
    explain = ExplainHandler(manager, EvalProtocol(), guard)
    meta = MetaHandler(manager)
    return Application(predict, [EvalProtocol()], explain, meta, admin, AccessLog(log, 1.0))


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        (EVAL, "GET", 200),
        (EVAL, "HEAD", 200),
        ("/v1/api/model/other/eval", "GET", 404),
        ("/v1/api/model/a/b/eval", "GET", 404),
        ("/v1/api/model//eval", "GET", 404),
        (f"{EVAL}/", "GET", 404),
        ("/v1/api/model/m/explain", "GET", 200),
        ("/v1/api/model/m/explain", "POST", 405),
        ("/v1/api/model/other/explain", "GET", 404),
        ("/v1/api/model//explain", "GET", 404),
        ("/v1/api/model/m/meta/config", "GET", 200),
        ("/v1/api/model/m/meta/dictionary", "HEAD", 200),
        ("/v1/api/model/m/meta/stats", "GET", 200),
        ("/v1/api/model/m/meta/stats", "POST", 405),
        ("/v1/api/model/other/meta/config", "GET", 404),
        ("/v1/api/model//meta/config", "GET", 404),
        ("/v1/api/model/m/meta/other", "GET", 404),
        ("/healthz", "GET", 200),
        ("/healthz", "POST", 405),
        ("/nowhere", "GET", 404),
        ("", "GET", 404),
        (EVAL, "PATCH", 405),
    ],
)
async def test_each_path_has_one_place(path: str, method: str, status: int) -> None:
    """Protocols by their pattern, the rest by the operators' table, and JSON even for what is nowhere."""
    response = await application()(request(path, "x=1", method=method))
    assert response.status == status
    if status != 200:
        assert said(response)["status"] == "error"
        assert said(response)["serviceTimeMcs"] >= 0


async def test_time_counts_for_what_is_nowhere_too() -> None:
    """``serviceTimeMcs`` means the same in every answer."""
    assert said(await application()(request("/nowhere", age_s=1.0)))["serviceTimeMcs"] >= 1_000_000


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [("abc-1.2:3/4", "abc-1.2:3/4"), ("a\r\nSet-Cookie: x", "a__Set-Cookie:_x"), ("é" * 500, "_" * 128)],
)
@pytest.mark.parametrize("path", [EVAL, "/nowhere", "/healthz"])
async def test_the_caller_s_request_id_comes_back_safe(path: str, sent: str, echoed: str) -> None:
    """A line break in it would be a header of the caller's making."""
    response = await application()(request(path, "x=1", headers={"x-request-id": sent}))
    assert response.headers["X-Request-Id"] == echoed


async def test_without_an_id_there_is_none_to_echo() -> None:
    """An empty header says nothing."""
    assert "X-Request-Id" not in (await application()(request(EVAL, "x=1"))).headers
    assert "X-Request-Id" not in (await application()(request(EVAL, "x=1", headers={"X-Request-Id": ""}))).headers


class TestAccessLog:
    @pytest.fixture(autouse=True)
    def _level(self) -> Any:
        logger = logging.getLogger("mlserve.access")
        before = logger.level
        yield
        logger.setLevel(before)

    async def test_a_line_tells_who_asked_what_and_how_it_went(self, caplog: pytest.LogCaptureFixture) -> None:
        """With the id that the caller knows, and without the query, which holds the values."""
        asked = request(EVAL, "x=5550123", headers={"X-Request-Id": "id 1"}, peer="10.0.0.7", age_s=0.5)
        response = await application("all")(asked)
        (record,) = (record for record in caplog.records if record.name == "mlserve.access")
        fields = vars(record)
        assert (fields["peer"], fields["method"], fields["path"]) == ("10.0.0.7", "GET", EVAL)
        assert (fields["status"], fields["bytes"], fields["request_id"]) == (200, len(response.body), "id_1")
        assert fields["microseconds"] >= 500_000
        assert "5550123" not in caplog.text

    async def test_off_writes_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        """It is the default."""
        await application()(request(EVAL, "x=1"))
        assert not [record for record in caplog.records if record.name == "mlserve.access"]
