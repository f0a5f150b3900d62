"""The routes ``/v1/api/model/<id>/meta/…``, answered from documents made once for each version."""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

import orjson

from mlserve.errors import DeadlineExceeded, WrongMethod
from mlserve.serving.deployment import Deployment
from mlserve.serving.events import Event, ModelLoaded
from mlserve.serving.manager import Manager
from mlserve.transport.message import HttpRequest, HttpResponse
from mlserve.transport.mly.config import config_json
from mlserve.transport.mly.dictionary import dictionary_json
from mlserve.transport.mly.inputs import inputs_document

logger = logging.getLogger(__name__)

MAKING_S: Final = 30.0
"""The longest that a request waits for documents to be made: vocabularies may have millions of words."""

_PATH: Final = re.compile(r"/v1/api/model/([^/]+)/meta/(config|dictionary|stats)")
_METHODS: Final = ("GET", "HEAD")
_LEVEL: Final = 6
"""Four times quicker than gzip's own default, and as small."""
_GZIPPED: Final = {"Content-Encoding": "gzip"}


@dataclass(frozen=True, slots=True)
class Documents:
    """Of one version, as they are answered. mly's clients take the dictionary compressed, asked for or not."""

    config: HttpResponse
    dictionary: HttpResponse


class MetaHandler:
    """Open to everybody, as ``eval`` is: who may ask a model may know what it takes."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._made: WeakKeyDictionary[Deployment, Documents] = WeakKeyDictionary()
        self._making = asyncio.Lock()

    @staticmethod
    def match(path: str) -> tuple[str, str] | None:
        """The model id and the document's name in ``path``, if it is one of ours."""
        found = _PATH.fullmatch(path)
        return (found[1], found[2]) if found else None

    async def __call__(self, request: HttpRequest, asked: tuple[str, str]) -> HttpResponse:
        """Raises what :mod:`mlserve.errors` names for a request."""
        model_id, document = asked
        if request.method not in _METHODS:
            raise WrongMethod(f"{document} takes GET", allow=_METHODS)
        with self._manager.acquire(model_id) as deployment:
            if document == "stats":
                return HttpResponse(200, orjson.dumps(stats_document(deployment)))
            documents = self._made.get(deployment) or await self._documents(deployment)
            return documents.config if document == "config" else documents.dictionary

    def on_event(self, event: Event) -> None:
        """A listener of the manager's: says when clients hold a configuration by which they make other keys."""
        match event:
            case ModelLoaded(deployment, replaced) if replaced in self._made and _keys(replaced) != _keys(deployment):
                logger.warning(
                    "%s: the new version has other Inputs in meta/config; clients of mly read that at their start "
                    "alone and go on making keys by the old one, which may mix answers up: restart them",
                    event.model_id,
                )

    async def _documents(self, deployment: Deployment) -> Documents:
        try:
            async with asyncio.timeout(MAKING_S), self._making:
                made = self._made.get(deployment)
                if made is None:
                    made = self._made[deployment] = await asyncio.to_thread(_documents, deployment)
                return made
        except TimeoutError:
            raise DeadlineExceeded(f"the documents of {deployment.model_id} are not made yet; ask again") from None


def stats_document(deployment: Deployment) -> dict[str, Any]:
    """How the batcher is right now, ``timeout`` in nanoseconds; nothing for a version that is not batched."""
    if deployment.batching is None:
        return {}
    state = deployment.batching()
    return {
        "activeEvaluators": state.runs,
        "batchQueueLen": state.waiting,
        "shedding": state.full,
        "timeout": round(state.window_s * 1e9),
    }


def _documents(deployment: Deployment) -> Documents:
    dictionary = gzip.compress(dictionary_json(deployment.interface, deployment.generation), _LEVEL, mtime=0)
    return Documents(
        HttpResponse(200, config_json(deployment)),
        HttpResponse(200, dictionary, headers=_GZIPPED),
    )


def _keys(deployment: Deployment | None) -> list[tuple[object, ...]]:
    """By what clients make keys: each input's name, and how it stands."""
    if deployment is None:
        return []
    inputs = inputs_document(deployment.origin.config, deployment.interface)
    return [tuple(entry.get(name) for name in ("Name", "Auxiliary", "Wildcard", "Precision")) for entry in inputs]
