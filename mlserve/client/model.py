"""A model as the client knows it, from its first call on: described once, and again when its answers say it changed.

``meta/config`` is read before and after ``meta/dictionary``, from one host: if both readings are equal, it fits the
dictionary between them, whatever was reloaded meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from mlserve.cache.outer import NO_TIERS
from mlserve.client.answer import read_answer, refuse
from mlserve.client.description import Description, read_description
from mlserve.client.host import Host
from mlserve.client.options import Cache
from mlserve.client.plain import eval_path
from mlserve.client.remote import Remote, Request
from mlserve.client.tiers import SharedTiers
from mlserve.client.transport import HttpAnswer
from mlserve.client.version import Version
from mlserve.errors import BadAnswer, ClientError, RemoteError, UnknownModel
from mlserve.types import Interface, Serving

logger = logging.getLogger(__name__)

FETCH_S: Final = 10.0
READINGS: Final = 3
"""A model that is reloaded under every one of them can wait for the next call."""
AGAIN_S: Final = 1.0
"""Hosts of different versions, as in a rolling update, must not be asked for their descriptions by turns."""
UNDESCRIBED_S: Final = 60.0
"""How long a server that describes nothing is believed."""

_LARGE: Final = 65_536
"""Bytes of a dictionary from which reading it would hold up the loop."""


class Model:
    """On one event loop; :meth:`close` it once."""

    def __init__(self, model_id: str, remote: Remote, tiers: SharedTiers, cache: Cache) -> None:
        self.version: Version | None = None
        """The one described last."""
        self._id = model_id
        self._path = f"/v1/api/model/{quote(model_id, safe='')}/meta/"
        self._remote = remote
        self._tiers = tiers
        self._cache = cache
        self._fetching: asyncio.Task[Version] | None = None
        self._again_at = 0.0
        self._stale_at: float | None = None
        self._heard_at = 0.0
        self._listening: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Nothing is known, and nobody asks."""
        return self.version is None and self._fetching is None

    async def described(self) -> Version:
        """The version described last, fetched if there is none; many may wait for one fetch.

        Raises :class:`~mlserve.errors.ClientError`.
        """
        if self.version is not None and (self._stale_at is None or _now() < self._stale_at):
            return self.version
        task = self._fetch()
        await asyncio.wait([task])
        if task.cancelled():
            raise ClientError("the client is closed: make a new one")
        return task.result()

    def answered(self, dict_hash: int | None, host: Host) -> None:
        """``host`` answered by the version of that hash. If it is another one, its description is fetched."""
        self._heard_at = _now()
        version = self.version
        if version is None or dict_hash == version.dict_hash or self._stale_at is not None:
            return
        if self._fetching is None:
            pause_s = max(0.0, self._again_at - _now())
            self._again_at = _now() + pause_s + AGAIN_S
            self._fetch(host, pause_s)

    def found(self, body: Callable[[], bytes]) -> None:
        """Rows were found without a server. If none has been heard of for a while, one is asked for ``body``."""
        now = _now()
        if now - self._heard_at >= self._cache.recheck_s:
            self._heard_at = now
            if self._listening is None:
                self._listening = asyncio.create_task(self._listen(body()), name=f"recheck {self._id}")

    async def close(self) -> None:
        """Ends what is under way in the background."""
        tasks = [task for task in (self._fetching, self._listening) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _listen(self, body: bytes) -> None:
        try:
            reply = await self._remote.ask(Request(eval_path(self._id), body, read_answer, {}), FETCH_S)
            self.answered(reply.answer.dict_hash, reply.host)
        except ClientError as error:
            logger.debug("%s was not asked whether it changed: %s", self._id, error)
        finally:
            self._listening = None

    def _fetch(self, host: Host | None = None, pause_s: float = 0.0) -> asyncio.Task[Version]:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._renew(host, pause_s), name=f"describe {self._id}")
            self._fetching.add_done_callback(self._fetched)
        return self._fetching

    def _fetched(self, task: asyncio.Task[Version]) -> None:
        self._fetching = None
        # Those who waited have the error; if nobody did, the next answer asks again.
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.debug("%s was not described: %s", self._id, error)

    async def _renew(self, host: Host | None, pause_s: float) -> Version:
        await asyncio.sleep(pause_s)
        try:
            description = await self._description(host)
        except (RemoteError, BadAnswer) as error:
            if not _describes_nothing(error) or (self.version is not None and self._stale_at is None):
                raise
            logger.info("%s is not described (%s): answers are typed by their text, and not kept", self._id, error)
            self._stale_at = _now() + UNDESCRIBED_S
            self.version = Version(Description(Interface((), (), Serving.ROWS)), self._cache, NO_TIERS)
            return self.version
        self._stale_at = None
        old = self.version
        if old is None or old.description != description:
            outer = self._tiers.of(description)
            await self._tiers.tried()
            self.version = old = Version(description, self._cache, outer)
        return old

    async def _description(self, host: Host | None) -> Description:
        config, host = await self._document("config", host)
        for _ in range(READINGS):
            dictionary, its_host = await self._document("dictionary", host)
            again, last_host = await self._document("config", its_host)
            if again == config and host is its_host is last_host:
                if len(dictionary) < _LARGE:
                    return read_description(config, dictionary, host.place)
                return await asyncio.to_thread(read_description, config, dictionary, host.place)
            config, host = again, last_host
        raise BadAnswer(f"{host.place} reloads {self._id} again and again: its description did not stand still")

    async def _document(self, name: str, host: Host | None) -> tuple[bytes, Host]:
        reply = await self._remote.ask(Request(self._path + name, None, _body, {}), FETCH_S, host=host)
        return reply.answer, reply.host


def _describes_nothing(error: RemoteError | BadAnswer) -> bool:
    """A server that has no such documents, rather than one that cannot answer now, or has no such model."""
    if isinstance(error, BadAnswer):
        return True
    return error.code != UnknownModel.code and error.status < 500 and error.status != 429


def _body(answer: HttpAnswer, place: str) -> bytes:
    if answer.status != 200:
        refuse(answer, place)
    return answer.body


def _now() -> float:
    return asyncio.get_running_loop().time()
