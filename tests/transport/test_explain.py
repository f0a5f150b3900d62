"""Whoever wonders why an answer was a miss would be told something else than what happened, if these failed."""

from __future__ import annotations

from typing import cast

import numpy as np
import orjson
import pytest

from mlserve.cache.chain import CacheChain
from mlserve.cache.outer import NO_TIERS
from mlserve.cache.view import View
from mlserve.errors import BadRequest, Forbidden, NotReady, RequestError, UnknownModel, WrongMethod
from mlserve.protocols.eval import EvalProtocol
from mlserve.serving.manager import Manager
from mlserve.stores.memory import MemoryStore
from mlserve.transport.access import Guard
from mlserve.transport.explain import ExplainHandler
from mlserve.types import DType, InputField, Interface
from tests.support.chained import GENERATION
from tests.support.deployments import FakeView, deployment, double, interface
from tests.support.eval_requests import FakeManager, request, said

PATH = "/v1/api/model/m/explain"


def handler(manager: FakeManager | None = None, *subnets: str) -> ExplainHandler:
    made = manager or FakeManager({"m": deployment()})
    return ExplainHandler(cast("Manager", made), EvalProtocol(), Guard(subnets))


def cached(face: Interface) -> FakeManager:
    """A model ``m`` that is cached, as the assembler makes it."""
    memory = MemoryStore(1 << 20)
    chain = CacheChain(double, interface=face, generation=GENERATION, memory=memory, ttl_s=60)
    return FakeManager({"m": deployment(face=face, cache=View(face, chain, memory, NO_TIERS, None))})


@pytest.mark.parametrize(
    ("path", "model_id"),
    [
        (PATH, "m"),
        ("/v1/api/model/a.b-c/explain", "a.b-c"),
        ("/v1/api/model//explain", None),
        ("/v1/api/model/explain", None),
        ("/v1/api/model/m/eval", None),
        ("/v1/api/model/m/explain/", None),
        ("/explain", None),
    ],
)
def test_which_paths_are_ours(path: str, model_id: str | None) -> None:
    assert ExplainHandler.match(path) == model_id


async def test_the_document() -> None:
    """Model and version first, then what the version's own cache says."""
    view = FakeView(not_cached="UseDict is false")
    made = deployment(cache=view)
    response = await handler(FakeManager({"m": made}))(request(PATH, "x=2"), "m")
    assert response.status == 200
    assert said(response) == {
        "model": "m",
        "generation": made.generation,
        "key": "k",
        "segments": [],
        "tiers": {},
        "notCached": "UseDict is false",
    }
    assert view.explained[0].columns["x"].tolist() == [2]
    assert made.callers == 0


async def test_rounding_comes_before_the_key() -> None:
    """As in ``eval``: the key is that of the value that the model sees; shown is what was sent."""
    face = interface(InputField("x", DType.FLOAT32, (), precision=1))
    document = said(await handler(cached(face))(request(PATH, "x=1.25"), "m"))
    assert document["key"] == "1.3"
    assert document["segments"][0]["value"] == 1.25
    assert document["segments"][0]["segment"] == "1.3"
    assert "notCached" not in document


async def test_rows_with_dimensions_are_shown_as_lists() -> None:
    face = interface(InputField("x", DType.FLOAT32, (2, 1)))
    document = said(await handler(cached(face))(request(PATH, "x=[[1],[2]]"), "m"))
    assert document["segments"][0]["value"] == [[1], [2]]
    assert document["key"] == "[2,1][1.0,2.0]"


async def test_text_that_is_not_utf_8_can_be_explained() -> None:
    """It is answered by ``eval``, so its key must be visible too."""
    face = interface(InputField("s", DType.STRING, ()))
    response = await handler(cached(face))(request(PATH, "s=%FFa"), "m")
    assert said(response)["key"] == "\\udcffa"


@pytest.mark.parametrize(
    ("field", "query", "value"),
    [
        (InputField("s", DType.STRING, (2,)), 's=["a","b"]', ["a", "b"]),
        (InputField("c", DType.COMPLEX64, ()), "c=[1,-2]", [1, -2]),
        (InputField("c", DType.COMPLEX128, (1,)), "c=[[1,-2]]", [[1, -2]]),
        (InputField("b", DType.BFLOAT16, ()), "b=1.5", 1.5),
        (InputField("h", DType.FLOAT16, ()), "h=0.5", 0.5),
        (InputField("f", DType.FLOAT32, ()), "f=40.1", 40.1),
        (InputField("i", DType.UINT64, ()), "i=18446744073709551615", 2**64 - 1),
        (InputField("t", DType.BOOL, ()), "t=1", True),
    ],
)
async def test_values_of_every_type_read_as_they_were_sent(field: InputField, query: str, value: object) -> None:
    """A float in its own type's shortest text, as in answers."""
    document = said(await handler(cached(interface(field)))(request(PATH, query), "m"))
    assert document["segments"][0]["value"] == value


async def test_numbers_that_json_has_no_form_for() -> None:
    face = interface(InputField("x", DType.FLOAT32, (), default=np.nan))
    document = said(await handler(cached(face))(request(PATH), "m"))
    assert (document["key"], document["segments"][0]["value"]) == ("nan", None)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_only_get_explains(method: str) -> None:
    with pytest.raises(WrongMethod) as caught:
        await handler()(request(PATH, "x=1", method=method), "m")
    assert caught.value.allow == ("GET", "HEAD")


@pytest.mark.parametrize(
    ("query", "model_id", "error"),
    [("", "m", BadRequest), ("x=oops", "m", BadRequest), ("x=1", "other", UnknownModel), ("x=1", "loading", NotReady)],
)
async def test_what_eval_would_refuse_is_refused_alike(query: str, model_id: str, error: type[RequestError]) -> None:
    """And nobody stays counted inside."""
    made = deployment()
    with pytest.raises(error):
        await handler(FakeManager({"m": made, "loading": None}))(request(PATH, query), model_id)
    assert made.callers == 0


@pytest.mark.parametrize(
    ("subnets", "peer", "allowed"),
    [((), "127.0.0.1", True), ((), "10.1.2.3", False), (("10.1.",), "10.1.2.3", True), (("10.1.",), "9.9.9.9", False)],
)
async def test_it_is_for_operators(subnets: tuple[str, ...], peer: str, allowed: bool) -> None:
    """It tells what others asked; strangers learn nothing, not even which models there are."""
    made = handler(None, *subnets)
    if allowed:
        assert (await made(request(PATH, "x=1", peer=peer), "m")).status == 200
    else:
        with pytest.raises(Forbidden):
            await made(request(PATH, peer=peer, method="POST"), "no-such-model")


async def test_a_head_is_answered_as_its_get() -> None:
    """The carrier drops the body."""
    response = await handler()(request(PATH, "x=1", method="HEAD"), "m")
    assert orjson.loads(response.body)["model"] == "m"
