"""The client for asyncio: values in, typed results out, from the nearest place that has them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from time import perf_counter
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self

import numpy as np
import orjson

from mlserve.client.asking import Asking
from mlserve.client.budget import RetryBudget
from mlserve.client.call import Call, Hook, tell
from mlserve.client.description import Description
from mlserve.client.faults import raised_by_server
from mlserve.client.given import Values, given
from mlserve.client.http import HttpTransport
from mlserve.client.model import Model
from mlserve.client.options import Cache
from mlserve.client.remote import Remote
from mlserve.client.result import LOCAL, Result
from mlserve.client.tiers import SharedTiers
from mlserve.client.transport import MakeTransport, Transport
from mlserve.errors import RemoteError, TimedOut, UnknownModel
from mlserve.types import CacheUse

TIMEOUT_S: Final = 10.0
CONNECTIONS: Final = 100
"""To each host; calls beyond wait for one within their time."""

_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY
_OF_MANY: Final = frozenset((list, tuple, np.ndarray))
_LOCAL_ROW: Final = MappingProxyType({LOCAL: 1})


def http(url: str) -> Transport:
    """A transport as :class:`AsyncClient` makes it unless told otherwise."""
    return HttpTransport(url, connections=CONNECTIONS)


class AsyncClient:
    """Asks models at one server, or at several that serve the same. Use it with ``async with``, or :meth:`close` it.

    Many tasks of one event loop may ask at once. ``timeout_s`` bounds a call, with all its tries. ``cache`` says where
    answers may be looked for first, ``retry_budget`` how many tries again calls may cost their servers (0.2: one for
    five calls, beyond a reserve; ``None``: any number). Each of ``hooks`` is told of each call. ``transport`` is the
    seam for tests: see :mod:`mlserve.client.testing`. ``chance`` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        timeout_s: float = TIMEOUT_S,
        cache: Cache | None = None,
        retry_budget: float | None = 0.2,
        hooks: Sequence[Hook] = (),
        transport: MakeTransport = http,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Makes no connection yet. Raises :class:`ValueError` for a URL that no server or shared tier can have."""
        self._cache = cache or Cache()
        self._tiers = SharedTiers(self._cache)
        urls = [urls] if isinstance(urls, str) else urls
        self._remote = Remote(urls, transport, budget=RetryBudget(retry_budget), chance=chance)
        self._timeout_s = timeout_s
        self._hooks = tuple(hooks)
        self._models: dict[str, Model] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def eval(self, model: str, values: Values | None = None, /, **inputs: Any) -> Result:
        """Ask ``model`` for one row (``country="us", age=30``), or many: columns, of which scalars and lists of one
        stand for all rows, or a list of one mapping per row. See :meth:`ask` for what it raises."""
        words = inputs if values is None else values
        if type(words) is dict and (words is inputs or not inputs):
            result = self._recalled(model, words)
            if result is not None:
                return result
        return await self.ask(model, values, constants=inputs)

    async def ask(
        self,
        model: str,
        values: Values | None,
        *,
        constants: dict[str, Any] | None = None,
        timeout_s: float | None = None,
        cache: CacheUse = CacheUse.NORMAL,
    ) -> Result:
        """As :meth:`eval`, with a time of its own, and with a say in where the answer may come from.

        ``constants`` are inputs that are the same for all rows. ``cache`` is what is asked of all caches on the way,
        the server's included.

        Raises what the server raised, by the same classes (the leaves of :class:`~mlserve.errors.RequestError`), the
        leaves of :class:`~mlserve.errors.ClientError` where no server answered, and :class:`TypeError` or
        :class:`ValueError` for values that cannot be sent.
        """
        self._remote.check_open()
        clock = asyncio.get_running_loop().time
        began, timeout_s = clock(), self._timeout_s if timeout_s is None else timeout_s
        sent = given(values, constants or {})
        asking = Asking(model, self._model(model), self._remote, cache, began + timeout_s)
        failure: str | None = None
        try:
            async with asyncio.timeout_at(began + timeout_s):
                return await asking.result(sent)
        except TimeoutError:
            failure = TimedOut.__name__
            raise TimedOut(f"no answer for {model} within {timeout_s:g} s") from None
        except RemoteError as error:
            told = raised_by_server(error)
            failure = type(told).__name__
            if isinstance(told, UnknownModel):
                self._forget(model)
            if told is error:
                raise
            raise told from error
        except BaseException as error:
            failure = type(error).__name__
            raise
        finally:
            if self._hooks:
                trace = asking.trace
                sources = {} if failure else trace.sources
                tell(self._hooks, Call(model, clock() - began, sources, trace.host, trace.tries, failure))

    async def describe(self, model: str) -> Description:
        """What the server says of ``model``: its inputs, outputs and caches. Raises as :meth:`ask`."""
        self._remote.check_open()
        try:
            async with asyncio.timeout(self._timeout_s):
                return (await self._model(model).described()).description
        except TimeoutError:
            raise TimedOut(f"{model} was not described within {self._timeout_s:g} s") from None
        except RemoteError as error:
            raise raised_by_server(error) from error

    async def close(self) -> None:
        """Calls under way end with :class:`~mlserve.errors.ClientError`. May be called again."""
        if self._remote.closed:
            return
        await self._remote.close()
        for model in self._models.values():
            await model.close()
        await self._tiers.close()

    def _model(self, model_id: str) -> Model:
        model = self._models.get(model_id)
        if model is None:
            model = self._models[model_id] = Model(model_id, self._remote, self._tiers, self._cache)
        return model

    def _forget(self, model_id: str) -> None:
        """Names that callers make up must not fill the memory."""
        model = self._models.get(model_id)
        if model is not None and model.idle:
            del self._models[model_id]

    def _recalled(self, model_id: str, inputs: dict[str, Any]) -> Result | None:
        """The shortest way: one row that was asked for in these very words. Of many, none is remembered so."""
        model = self._models.get(model_id)
        version = None if model is None else model.version
        began = perf_counter() if self._hooks else 0.0
        if model is None or version is None or version.local is None or self._remote.closed:
            return None
        if not _OF_MANY.isdisjoint(map(type, inputs.values())):
            return None
        try:
            body = orjson.dumps(inputs, option=_OPTIONS)
        except orjson.JSONEncodeError:
            return None
        data = version.local.recall(body)
        if data is None:
            return None
        model.found(lambda: body)
        if self._hooks:
            tell(self._hooks, Call(model_id, perf_counter() - began, _LOCAL_ROW))
        return Result(data, version.dict_hash, _LOCAL_ROW)
