"""Blocking file-system calls, each in a thread of its own that the server can do without.

A thread that hangs in the kernel or in a library cannot be ended from outside, and the threads of a
``ThreadPoolExecutor`` are joined when the interpreter exits. So: daemon threads, a deadline since the last sign of
life, and a hung thread is left behind with a line in the log.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Final, TypeVar

from mlserve.errors import SourceError
from mlserve.sources.place import Beat

_log = logging.getLogger("mlserve.sources.worker")
_GRACE_S: Final = 1.0
"""How long somebody who gives up waits for the thread to notice and clean up."""

T = TypeVar("T")


class Stopped(Exception):
    """Raised by :meth:`_Pulse.beat` in the thread: nobody waits for the result any more."""


class _Pulse:
    """What a thread and the one who waits for it know of each other."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.stopped = False

    def beat(self) -> None:
        if self.stopped:
            raise Stopped
        self.last = time.monotonic()


class Worker:
    """Runs the blocking calls of one source. ``owner`` names it in the log; ``timeout_s`` bounds silence, not length.

    While a thread of it hangs, further calls fail at once: a dead mount costs one thread, not one a minute.
    """

    def __init__(self, owner: str, *, timeout_s: float) -> None:
        self._owner = owner
        self._timeout_s = timeout_s
        self._running: dict[Future[object], tuple[_Pulse, asyncio.Event]] = {}
        self._hung: tuple[str, Future[object]] | None = None
        self._closed = False

    async def run(self, what: str, call: Callable[[Beat], T], *, discard: Callable[[T], object] | None = None) -> T:
        """``call(beat)`` in a thread; what it returns or raises.

        Raises :class:`SourceError` if it is silent for ``timeout_s``, if an earlier call still hangs, or if the worker
        is closed meanwhile. If the caller is cancelled, the call sees :class:`Stopped` at its next beat; a result that
        comes all the same is handed to ``discard``, in a thread.
        """
        self._refuse_if_unfit(what)
        pulse, outcome, done = _Pulse(), Future[object](), asyncio.Event()
        self._running[outcome] = pulse, done
        outcome.add_done_callback(_wake(asyncio.get_running_loop(), done))
        threading.Thread(target=_work, args=(call, pulse, outcome), name=f"mlserve-{what}", daemon=True).start()
        try:
            await self._outcome(what, pulse, outcome, done)
        except BaseException:
            if discard is not None:
                outcome.add_done_callback(_discarding(discard))
            if not outcome.done():
                await self._leave(what, pulse, outcome, done)
            raise
        finally:
            del self._running[outcome]
        try:
            return outcome.result()  # type: ignore[return-value]  # one dict holds the futures of calls of every type
        except Stopped:
            raise SourceError(f"closed during {what}") from None

    async def close(self) -> None:
        """Stop what runs, wait a moment for it, send those who wait away, and refuse the rest."""
        self._closed = True
        running = list(self._running.values())
        for pulse, _ in running:
            pulse.stopped = True
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                for _, done in running:
                    await done.wait()
        for _, done in running:
            done.set()

    async def _outcome(self, what: str, pulse: _Pulse, outcome: Future[object], done: asyncio.Event) -> None:
        """Returns once the thread is done."""
        while not outcome.done():
            left = pulse.last + self._timeout_s - time.monotonic()
            if left <= 0:
                raise SourceError(f"{what} gave no sign of life for {self._timeout_s:g} s")
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await done.wait()
                if not outcome.done():
                    raise SourceError(f"closed during {what}")

    def _refuse_if_unfit(self, what: str) -> None:
        if self._closed:
            raise SourceError(f"{what} asked of a closed source")
        if self._hung is not None and self._hung[1].done():
            self._hung = None
        if self._hung is not None:
            raise SourceError(f"an earlier {self._hung[0]} still hangs: is the file system there?")

    async def _leave(self, what: str, pulse: _Pulse, outcome: Future[object], done: asyncio.Event) -> None:
        pulse.stopped = True
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                await done.wait()
        if not outcome.done():
            self._hung = (what, outcome)
            _log.warning("%s: %s hangs; its thread is left behind", self._owner, what)


def _work(call: Callable[[Beat], object], pulse: _Pulse, outcome: Future[object]) -> None:
    try:
        outcome.set_result(call(pulse.beat))
    except BaseException as error:  # whoever waits gets it, whatever it is
        outcome.set_exception(error)


def _wake(loop: asyncio.AbstractEventLoop, done: asyncio.Event) -> Callable[[object], None]:
    def wake(_: object) -> None:
        with suppress(RuntimeError):  # the loop ended before the thread did
            loop.call_soon_threadsafe(done.set)

    return wake


def _discarding(discard: Callable[[T], object]) -> Callable[[Future[object]], None]:
    def start(outcome: Future[object]) -> None:
        if outcome.exception() is None:
            threading.Thread(target=discard, args=(outcome.result(),), name="mlserve-discard", daemon=True).start()

    return start
