"""``/v1/api/debug/…``: a CPU profile and a memory snapshot, for operators on this machine or in ``AllowedSubnet``.

Both are off unless the configuration switches them on. They run in a thread, one at a time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Final, TypeVar
from urllib.parse import parse_qsl

from mlserve.errors import BadRequest, Overloaded, UnknownRoute
from mlserve.observe.flame import flame_page
from mlserve.observe.heap import heap_report
from mlserve.observe.metrics import MemoryStats
from mlserve.observe.profile import Profile, take_profile
from mlserve.transport.message import HttpRequest, HttpResponse

T = TypeVar("T")

MAX_SECONDS: Final = 60
DEFAULT_SECONDS: Final = 10
_MAX_QUERY: Final = 256
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Debug:
    """Answers the routes; the administrative table says who may ask.

    ``cpu`` and ``memory`` say what is switched on. ``profiler`` blocks for so many seconds, less if the event is set.
    """

    def __init__(
        self,
        *,
        cpu: bool,
        memory: bool,
        datastores: Callable[[], Mapping[str, MemoryStats]],
        profiler: Callable[[float, threading.Event], Profile] = take_profile,
    ) -> None:
        self._cpu = cpu
        self._memory = memory
        self._datastores = datastores
        self._profiler = profiler
        self._busy = False

    async def profile(self, request: HttpRequest) -> HttpResponse:
        """``GET …/pprof/profile?seconds=N``: a page with a flame graph."""
        if not self._cpu:
            raise UnknownRoute("CPU profiles are off: set EnableCPUProf: true in the configuration and restart")
        seconds = _seconds(request.query, least=1, default=DEFAULT_SECONDS)
        if request.method == "HEAD":
            return HttpResponse(200, b"", "text/html; charset=utf-8", _HEADERS)
        page = await self._alone(lambda stop: flame_page(self._profiler(seconds, stop)))
        return HttpResponse(200, page.encode("utf-8", "replace"), "text/html; charset=utf-8", _HEADERS)

    async def memory(self, request: HttpRequest) -> HttpResponse:
        """``GET …/memprof?seconds=N``: what memory holds, and what N seconds add to it if N is given."""
        if not self._memory:
            raise UnknownRoute("memory snapshots are off: set EnableMemProf: true in the configuration and restart")
        seconds = _seconds(request.query, least=0, default=0)
        headers = _HEADERS | {"Content-Disposition": 'attachment; filename="memprof.txt"'}
        if request.method == "HEAD":
            return HttpResponse(200, b"", "text/plain; charset=utf-8", headers)
        report = await self._alone(lambda stop: heap_report(self._datastores(), seconds, stop))
        return HttpResponse(200, report.encode("utf-8", "replace"), "text/plain; charset=utf-8", headers)

    async def _alone(self, work: Callable[[threading.Event], T]) -> T:
        """``work`` in a thread. If the caller leaves, it is told to stop and awaited, so that none is left behind."""
        if self._busy:
            raise Overloaded("a profile or snapshot is being taken; one at a time", retry_after_s=DEFAULT_SECONDS)
        self._busy = True
        stop = threading.Event()
        task = asyncio.create_task(asyncio.to_thread(work, stop), name="profile")
        task.add_done_callback(self._ended)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([task])
            raise

    def _ended(self, task: asyncio.Task[T]) -> None:
        self._busy = False
        if not task.cancelled():
            task.exception()  # a caller that has left does not look at it


def _seconds(query: str, *, least: int, default: int) -> int:
    given = dict(parse_qsl(query[:_MAX_QUERY], keep_blank_values=True)).get("seconds", str(default))
    if given.isascii() and given.isdigit() and len(given) <= 4 and least <= int(given) <= MAX_SECONDS:
        return int(given)
    raise BadRequest(f"seconds must be a whole number from {least} to {MAX_SECONDS}")
