"""Clients would start without what they need, or refetch it for ever, if these failed."""

from __future__ import annotations

import asyncio
import gc
import gzip
import logging
import threading
from typing import Any, cast

import orjson
import pytest

from mlserve.contracts.batching import BatchState
from mlserve.errors import DeadlineExceeded, NotReady, UnknownModel, WrongMethod
from mlserve.serving.deployment import Deployment
from mlserve.serving.events import ModelLoaded
from mlserve.serving.manager import Manager
from mlserve.transport.mly import meta
from mlserve.transport.mly.meta import MetaHandler
from tests.support.ctr import HASH, configured, ctr, deployed
from tests.support.deployments import deployment
from tests.support.eval_requests import FakeManager, request, said

BASE = "/v1/api/model/m/meta"


def handler(made: Deployment | None) -> MetaHandler:
    return MetaHandler(cast("Manager", FakeManager({"m": made, "loading": None})))


async def ask(made: MetaHandler, document: str, method: str = "GET", model_id: str = "m") -> Any:
    return await made(request(f"{BASE}/{document}", method=method), (model_id, document))


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (f"{BASE}/config", ("m", "config")),
        ("/v1/api/model/a.b-c/meta/dictionary", ("a.b-c", "dictionary")),
        (f"{BASE}/stats", ("m", "stats")),
        (f"{BASE}/stats/", None),
        (f"{BASE}/", None),
        (BASE, None),
        ("/v1/api/model//meta/config", None),
        ("/v1/api/model/a/b/meta/config", None),
        ("/v1/api/model/meta/config", None),
    ],
)
def test_which_paths_are_ours(path: str, asked: tuple[str, str] | None) -> None:
    assert MetaHandler.match(path) == asked


async def test_config() -> None:
    """Plain JSON."""
    config, interface = ctr()
    response = await ask(handler(deployed(config, interface)), "config")
    assert (response.status, response.content_type, dict(response.headers)) == (200, "application/json", {})
    assert said(response)["ID"] == "ctrcache"


async def test_dictionary() -> None:
    """Compressed whatever the client says it takes; with the hash and the generation of the version that answers."""
    config, interface = ctr()
    made = deployed(config, interface)
    response = await ask(handler(made), "dictionary")
    assert dict(response.headers) == {"Content-Encoding": "gzip"}
    assert response.content_type == "application/json"
    document = orjson.loads(gzip.decompress(response.body))
    assert (document["Hash"], document["Generation"]) == (HASH, made.generation)
    assert made.callers == 0


async def test_without_a_dictionary() -> None:
    """``null``, compressed as well."""
    config, interface = configured({"ID": "m", "URL": "m", "UseDict": False}, dict_hash=None)
    response = await ask(handler(deployed(config, interface)), "dictionary")
    assert gzip.decompress(response.body) == b"null"


@pytest.mark.parametrize(
    ("state", "document"),
    [
        (None, b"{}"),
        (
            BatchState(runs=2, waiting=3, full=True, window_s=0.0005),
            b'{"activeEvaluators":2,"batchQueueLen":3,"shedding":true,"timeout":500000}',
        ),
    ],
)
async def test_stats(state: BatchState | None, document: bytes) -> None:
    """The batcher as it is now, the window in nanoseconds; nothing without one."""
    made = deployment(batching=None if state is None else lambda: state)
    assert (await ask(handler(made), "stats")).body == document


async def test_documents_are_made_once_for_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand clients that start together cost one; a version that is gone keeps none."""
    made: list[Deployment] = []
    really = meta._documents

    def counted(version: Deployment) -> meta.Documents:
        made.append(version)
        return really(version)

    monkeypatch.setattr(meta, "_documents", counted)
    manager = FakeManager({"m": deployed(*ctr())})
    asked = MetaHandler(cast("Manager", manager))
    answers = await asyncio.gather(*(ask(asked, name) for name in ("config", "dictionary") * 50))
    assert len(made) == 1
    assert len({id(answer.body) for answer in answers}) == 2
    manager.deployments["m"] = deployed(*ctr())
    await ask(asked, "config")
    assert len(made) == 2
    made.clear()
    gc.collect()
    assert len(asked._made) == 1


class Held:
    """Takes the place of what makes documents, and waits in its thread until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self._really = meta._documents
        monkeypatch.setattr(meta, "_documents", self)

    def __call__(self, version: Deployment) -> meta.Documents:
        self.begun.set()
        assert self.go.wait(20)
        return self._really(version)


async def test_a_caller_that_leaves_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it stay counted inside."""
    held, made = Held(monkeypatch), deployed(*ctr())
    asked = handler(made)
    leaving = asyncio.create_task(ask(asked, "config"))
    await asyncio.to_thread(held.begun.wait, 20)
    staying = asyncio.create_task(ask(asked, "config"))
    leaving.cancel()
    await asyncio.wait([leaving])
    held.go.set()
    assert said(await staying)["ID"] == "ctrcache"
    assert made.callers == 0


async def test_no_caller_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in line for documents in the making neither."""
    held = Held(monkeypatch)
    monkeypatch.setattr(meta, "MAKING_S", 0.05)
    asked = handler(deployed(*ctr()))
    try:
        results = await asyncio.gather(*(ask(asked, "config") for _ in range(2)), return_exceptions=True)
        assert [type(result) for result in results] == [DeadlineExceeded] * 2
    finally:
        held.go.set()


async def test_documents_that_cannot_be_made_fail_their_caller_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one finds the way free."""
    really = meta._documents

    def fails(version: Deployment) -> meta.Documents:
        monkeypatch.setattr(meta, "_documents", really)
        raise MemoryError

    monkeypatch.setattr(meta, "_documents", fails)
    made = deployed(*ctr())
    asked = handler(made)
    with pytest.raises(MemoryError):
        await ask(asked, "config")
    assert (await ask(asked, "config")).status == 200
    assert made.callers == 0


@pytest.mark.parametrize("document", ["config", "dictionary", "stats"])
async def test_who_is_refused(document: str) -> None:
    """As at ``eval``."""
    made = handler(deployment())
    with pytest.raises(WrongMethod) as caught:
        await ask(made, document, "POST")
    assert caught.value.allow == ("GET", "HEAD")
    with pytest.raises(UnknownModel):
        await ask(made, document, model_id="other")
    with pytest.raises(NotReady):
        await ask(made, document, model_id="loading")
    assert (await ask(made, document, "HEAD")).status == 200


@pytest.mark.parametrize(
    ("before", "after", "fetched", "warned"),
    [
        ({}, {"Wildcard": True}, True, True),
        ({}, {}, True, False),
        ({}, {"Wildcard": True}, False, False),
        ({"Wildcard": True}, {}, True, True),
    ],
)
async def test_clients_that_hold_another_configuration_are_told_of(
    caplog: pytest.LogCaptureFixture, before: dict[str, Any], after: dict[str, Any], fetched: bool, warned: bool
) -> None:
    """They never fetch it again; nobody but an operator can restart them."""

    def version(settings: dict[str, Any]) -> Deployment:
        model = {"ID": "m", "URL": "m", "Inputs": [{"Name": "sa", **settings}]}
        return deployed(*configured(model))

    old, new = version(before), version(after)
    asked = handler(old)
    if fetched:
        await ask(asked, "config")
    with caplog.at_level(logging.WARNING):
        asked.on_event(ModelLoaded(new, old))
        asked.on_event(ModelLoaded(new, None))
    assert ("m: the new version has other Inputs" in caplog.text) is warned
