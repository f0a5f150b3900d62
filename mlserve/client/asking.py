"""One call: what is known already, then a server for the rest, and all of it from one version of the model.

Rows that were found here and rows that a server answered meet in one result only if both are of one version. If not
(the model was reloaded in between), the whole request is sent once more, for what one server answers at once is of one
version. Where the client does not understand what it was given, it sends it as it is: the server is the judge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from mlserve.cache.merge import Part, Unjoinable, merged
from mlserve.client.answer import Answer, read_answer
from mlserve.client.given import Given, body_of
from mlserve.client.model import Model
from mlserve.client.plain import eval_path
from mlserve.client.remote import Remote, Request
from mlserve.client.result import SERVER, Result
from mlserve.client.typed import Misshapen, one_row, rows_of
from mlserve.client.version import Asked, Found, Version
from mlserve.errors import BadAnswer
from mlserve.types import CacheUse, Rows
from mlserve.values import depth_of

_NOTHING: Final = Found([], {}, ())


@dataclass(slots=True)
class Trace:
    """What a call cost, for those who listen."""

    host: str | None = None
    tries: int = 0
    sources: Mapping[str, int] = field(default_factory=dict)


class Asking:
    """One call of one model. ``deadline`` counts as the loop's clock does, which is ``time.monotonic``."""

    def __init__(self, model_id: str, model: Model, remote: Remote, use: CacheUse, deadline: float) -> None:
        self.trace = Trace()
        self._path = eval_path(model_id)
        self._model = model
        self._remote = remote
        self._use = use
        self._deadline = deadline
        self._headers = {} if use is CacheUse.NORMAL else {"Cache-Control": str(use)}

    async def result(self, given: Given) -> Result:
        """Raises the leaves of :class:`~mlserve.errors.ClientError`, and :class:`TypeError` for a value
        that JSON has no form for."""
        version = await self._model.described()
        asked = None if self._use is CacheUse.NO_STORE else version.understand(given)
        body = given.body()
        if asked is None:
            return await self._whole(given, body, version, None)
        try:
            found = _NOTHING
            if self._use is not CacheUse.NO_CACHE:
                found = await version.look_up(asked, self._deadline - _now() + monotonic())
            missing = found.missing if found is not _NOTHING else range(asked.rows.count)
            if not missing:
                return self._found(given, asked, found, version, body)
            if found.parts and version.splits:
                result = await self._rest(given, asked, found, version)
                if result is not None:
                    return result
        except Unjoinable:
            pass  # answers of different types or shapes: only one answer to all of it holds them
        return await self._whole(given, body, version, asked)

    def _found(self, given: Given, asked: Asked, found: Found, version: Version, body: bytes) -> Result:
        rows = merged(found.parts)
        self.trace.sources = found.sources
        self._model.found(lambda: _body_of_some(given, version, (0,), asked.rows.count) if asked.batch else body)
        if asked.batch:
            return Result(dict(rows.columns), version.dict_hash, found.sources)
        data = one_row(rows)
        if version.local is not None:
            version.local.remember(body, asked.keys[0], data)
        return Result(data, version.dict_hash, found.sources)

    async def _rest(self, given: Given, asked: Asked, found: Found, version: Version) -> Result | None:
        """Only the missing rows are asked for; ``None`` if what comes does not go with what was found."""
        answer = await self._ask(_body_of_some(given, version, found.missing, asked.rows.count))
        if answer.dict_hash != version.dict_hash:
            return None
        rows = self._rows(answer, version)
        if not isinstance(answer.data, list) or rows.count != len(found.missing):
            return None
        self._keep(asked, found.missing, rows, version)
        parts: list[Part] = [*found.parts, (rows, found.missing)]
        sources = {**found.sources, SERVER: rows.count}
        self.trace.sources = sources
        return Result(dict(merged(parts).columns), version.dict_hash, sources)

    async def _whole(self, given: Given, body: bytes, version: Version, asked: Asked | None) -> Result:
        answer = await self._ask(body)
        rows = self._rows(answer, version)
        batch = isinstance(answer.data, list)
        if given.batch_size not in (None, rows.count):
            raise BadAnswer(f"{given.batch_size} rows were asked for and {rows.count} answered")
        as_understood = asked is not None and (asked.batch, asked.rows.count) == (batch, rows.count)
        if asked is not None and as_understood and answer.dict_hash == version.dict_hash:
            self._keep(asked, range(rows.count), rows, version)
        sources = {SERVER: rows.count}
        self.trace.sources = sources
        return Result(dict(rows.columns) if batch else one_row(rows), answer.dict_hash, sources)

    async def _ask(self, body: bytes) -> Answer:
        request = Request(self._path, body, read_answer, self._headers)
        reply = await self._remote.ask(request, self._deadline - _now())
        self.trace.host = reply.host.place
        self.trace.tries += reply.tries
        self._model.answered(reply.answer.dict_hash, reply.host)
        return reply.answer

    def _rows(self, answer: Answer, version: Version) -> Rows:
        try:
            return rows_of(answer.data, version.outputs)
        except Misshapen as error:
            raise BadAnswer(f"what {self.trace.host} answered is no prediction: {error}") from error

    def _keep(self, asked: Asked, places: Sequence[int], rows: Rows, version: Version) -> None:
        """Each row under its own key. They are of the version that the keys are of."""
        if version.local is not None:
            version.local.store([asked.keys[place] for place in places], rows)


def _body_of_some(given: Given, version: Version, places: Sequence[int], count: int) -> bytes:
    """The request for the rows at ``places`` alone. What stands for all rows is sent as it was given."""
    values: dict[str, Any] = {"batch_size": len(places)}
    for field_ in version.description.interface.inputs:
        value = given.values[field_.name]
        depth = len(field_.shape or ()) + field_.dtype.is_complex
        per_row = type(value) is list and len(value) == count and depth_of(value) == depth + 1
        values[field_.name] = [value[place] for place in places] if per_row else value
    return body_of(values)


def _now() -> float:
    return asyncio.get_running_loop().time()
