"""An event loop in a thread, for servers and clients that must go on while a test waits for something else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, Self, TypeVar

T = TypeVar("T")

PATIENCE_S: Final = 30.0


class LoopThread:
    """Runs inside ``with``. What still runs at its end is cancelled and awaited."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop of a test")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.call(_end_all())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` answers. Blocks."""
        return self.start(work).result(PATIENCE_S)

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """``work`` in the background."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)


async def _end_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    # What was aborted closes its socket in the next turn.
    await asyncio.sleep(0)
