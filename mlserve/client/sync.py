"""The client for code without an event loop: the one for asyncio, on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import CancelledError
from types import TracebackType
from typing import Any, Self, TypeVar

from mlserve.client.call import Hook
from mlserve.client.client import TIMEOUT_S, AsyncClient, http
from mlserve.client.description import Description
from mlserve.client.given import Values
from mlserve.client.options import Cache
from mlserve.client.result import Result
from mlserve.client.transport import MakeTransport
from mlserve.errors import ClientError
from mlserve.types import CacheUse

T = TypeVar("T")


class Client:
    """As :class:`~mlserve.client.AsyncClient`, blocking. Use it with ``with``, or :meth:`close` it.

    Many threads may ask at once, and share its connections and its memory. Hooks are called on its own thread.
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
    ) -> None:
        """Makes no connection yet. Raises :class:`ValueError` for a URL that no server or shared tier can have."""
        self._client = AsyncClient(
            urls, timeout_s=timeout_s, cache=cache, retry_budget=retry_budget, hooks=hooks, transport=transport
        )
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="mlserve client", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def eval(self, model: str, values: Values | None = None, /, **inputs: Any) -> Result:
        """See :meth:`AsyncClient.eval`."""
        return self._wait(self._client.eval(model, values, **inputs))

    def ask(
        self,
        model: str,
        values: Values | None,
        *,
        constants: dict[str, Any] | None = None,
        timeout_s: float | None = None,
        cache: CacheUse = CacheUse.NORMAL,
    ) -> Result:
        """See :meth:`AsyncClient.ask`."""
        return self._wait(self._client.ask(model, values, constants=constants, timeout_s=timeout_s, cache=cache))

    def describe(self, model: str) -> Description:
        """See :meth:`AsyncClient.describe`."""
        return self._wait(self._client.describe(model))

    def close(self) -> None:
        """Calls of other threads end with :class:`~mlserve.errors.ClientError`. May be called again."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        with self._lock:
            if self._closed:
                work.close()
                raise ClientError("the client is closed: make a new one")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise ClientError("the client is closed: make a new one") from None
        except BaseException:
            future.cancel()  # Ctrl-C: nobody waits for it any more
            raise

    async def _end(self) -> None:
        await self._client.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._loop.shutdown_default_executor()
        await self._loop.shutdown_asyncgens()
