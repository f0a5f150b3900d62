"""Whole answers from memory as bytes, made in one go: what the door gives.

A request is looked for by its very bytes first (:mod:`~mlserve.transport.repeats`). One that comes in other words is
looked for by what it asks, among the recordings of its version's cache; when it is found, its bytes are learnt.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import monotonic
from typing import Final

from mlserve.contracts.memory import Memory
from mlserve.contracts.protocol import Protocol
from mlserve.errors import RequestError
from mlserve.observe.access import AccessLog
from mlserve.observe.metrics import Metrics
from mlserve.serving.deployment import Deployment
from mlserve.serving.events import Event, ModelLoaded, ModelRemoved
from mlserve.serving.manager import Manager
from mlserve.transport.evaluation import Evaluation, evaluation
from mlserve.transport.plain import MAX_FIELDS_BYTES, Plain, read_plain
from mlserve.transport.question import MAX_QUESTION_BYTES, known_by, question_of
from mlserve.transport.repeats import Repeats, Version
from mlserve.transport.wire import end_of_head, start_of_ok

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES: Final = MAX_QUESTION_BYTES + MAX_FIELDS_BYTES
"""Longer ones have no question that is kept."""


class Hits:
    """Answers plain requests that memory holds recorded; counts and logs them as the ordinary way does.

    ``None`` always means: nothing was counted, ask the ordinary way. Raises nothing.
    """

    def __init__(
        self,
        manager: Manager,
        metrics: Metrics,
        protocols: Sequence[Protocol],
        access_log: AccessLog,
        repeats: Repeats,
    ) -> None:
        self._manager = manager
        self._metrics = metrics
        self._protocols = protocols
        self._access_log = access_log
        self._repeats = repeats
        self._versions: dict[tuple[str, str], Version] = {}

    def on_event(self, event: Event) -> None:
        """A listener of the manager's: what was learnt of a version ends with it."""
        if isinstance(event, ModelLoaded | ModelRemoved):
            for protocol in self._protocols:
                self._end(event.model_id, protocol)

    def evaluation(self, path: str) -> Evaluation | None:
        """The protocol that answers ``path``, and the model asked for; ``None`` if it is no evaluation."""
        return evaluation(self._protocols, path)

    def repeated(self, request: bytes, peer: str, received: float) -> bytes | None:
        """The answer to a request whose very bytes are known."""
        try:
            return self._repeated(request, peer, received)
        except Exception:  # the client must get an answer whatever fails here
            log.exception("a request whose bytes are known was not answered by them, but the ordinary way")
            return None

    def recorded(self, asked: Evaluation, plain: Plain, request: bytes, peer: str, received: float) -> bytes | None:
        """The answer to a plain request that asks what was asked before. ``request`` are its bytes."""
        try:
            return self._recorded(asked, plain, request, peer, received)
        except Exception:  # as above
            log.exception("a request was not answered by what is recorded for it, but the ordinary way")
            return None

    def _repeated(self, request: bytes, peer: str, received: float) -> bytes | None:
        if len(request) > MAX_REQUEST_BYTES:
            return None
        name = known_by(request)
        version = self._repeats.of(name)
        if version is None:
            return None
        deployment = version.deployment
        if deployment is not None and not deployment.withdrawn:
            key, entry, head, tail = version.answers[name]
            ttl_s = version.lasts(key, entry)
            if ttl_s > 0:
                return self._answer(version, head, tail, ttl_s, request, peer, received)
        self._repeats.forget(name)
        return None

    def _recorded(self, asked: Evaluation, plain: Plain, request: bytes, peer: str, received: float) -> bytes | None:
        protocol, model_id = asked
        deployment = self._serving(model_id)
        if deployment is None or deployment.cache.memory is None or plain.method not in protocol.methods:
            return None
        question = question_of(protocol, plain.method, plain.query, plain.body)
        recording = None if question is None else deployment.cache.recall(question)
        if recording is None:
            return None
        memory, key = deployment.cache.memory, recording.key
        version = self._version(deployment, memory, protocol)
        entry = memory.entry(key)
        if entry is not None and len(request) <= MAX_REQUEST_BYTES:
            self._repeats.learn(known_by(request), version, (key, entry, recording.head, recording.tail))
        return self._answer(version, recording.head, recording.tail, recording.ttl_s, request, peer, received)

    def _answer(
        self, version: Version, head: bytes, tail: bytes, ttl_s: float, request: bytes, peer: str, received: float
    ) -> bytes:
        seconds = monotonic() - received
        body = b"%b%d%b" % (head, seconds * 1e6, tail)
        version.metrics.hit()
        self._metrics.answered(version.requests, 200, seconds)
        if self._access_log.picks():
            self._log(request, peer, seconds, len(body))
        return b"%b%d\r\nCache-Status: memory; hit; ttl=%d\r\n%b%b" % (
            version.start, len(body), ttl_s, end_of_head(), body,
        )  # fmt: skip

    def _serving(self, model_id: str) -> Deployment | None:
        """Not entered: nobody else runs before the answer is made."""
        try:
            return self._manager.acquire(model_id)
        except RequestError:
            return None

    def _version(self, deployment: Deployment, memory: Memory, protocol: Protocol) -> Version:
        version = self._versions.get((deployment.model_id, protocol.name))
        if version is None or version.deployment is not deployment:
            self._end(deployment.model_id, protocol)
            metrics = self._metrics.model(deployment.model_id)
            version = Version(
                deployment, memory, metrics, metrics.requests_by(protocol.name), start_of_ok(protocol.content_type)
            )
            self._versions[deployment.model_id, protocol.name] = version
        return version

    def _end(self, model_id: str, protocol: Protocol) -> None:
        version = self._versions.pop((model_id, protocol.name), None)
        if version is not None:
            version.end()

    def _log(self, request: bytes, peer: str, seconds: float, size: int) -> None:
        plain = read_plain(request)
        if plain is not None:
            self._access_log.write(
                peer=peer, method=plain.method, path=plain.path, status=200, seconds=seconds, size=size, request_id=""
            )
