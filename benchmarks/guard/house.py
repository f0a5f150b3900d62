"""The daemon in this process: all that ``mlserve -c …`` runs, and connections to it that need no socket."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks.guard.paths import CACHED, COMPUTED, STORED
from benchmarks.guard.wire import Wire
from benchmarks.process import PENGUINS
from mlserve.config.load import load_config
from mlserve.daemon.process import ServeOptions, serve
from mlserve.inference import on_loop, probe

READY_WITHIN_S: Final = 60.0
_STEP_S: Final = 0.01
_READY: Final = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"
_METRICS: Final = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
_WRITTEN: Final = re.compile(rb'^mlserve_cache_writes_total\{.*result="ok".*\} ([0-9.]+)', re.MULTILINE)


class KeepingLoop(uvloop.Loop):
    """Keeps what makes a protocol for each connection to the port that was opened last."""

    connect: Callable[[], asyncio.BaseProtocol] | None = None

    async def create_server(self, protocol_factory: Any, *args: Any, **kwargs: Any) -> Any:
        server = await super().create_server(protocol_factory, *args, **kwargs)
        self.connect = protocol_factory
        return server


class House:
    """A server whose models are loaded."""

    def __init__(self, loop: KeepingLoop, connect: Callable[[], asyncio.BaseProtocol]) -> None:
        self._loop = loop
        self._connect = connect

    def wire(self) -> Wire:
        """A new connection."""
        return Wire(self._loop, self._connect)

    async def written(self, entries: int) -> None:
        """Returns when so many entries are in LMDB. Raises :class:`RuntimeError` if that takes too long."""
        deadline = self._loop.time() + READY_WITHIN_S
        wire = self.wire()
        while True:
            found = _WRITTEN.search(await wire.ask(_METRICS))
            if found is not None and float(found[1]) >= entries:
                break
            if self._loop.time() > deadline:
                raise RuntimeError(f"{entries} entries were not written within {READY_WITHIN_S:g} s")
            await asyncio.sleep(_STEP_S)
        wire.close()


@asynccontextmanager
async def daemon() -> AsyncIterator[House]:
    """From the moment all models serve. On a :class:`KeepingLoop`, in the main thread; ends by SIGTERM, as daemons do.

    Raises :class:`RuntimeError` if it does not start.
    """
    loop = asyncio.get_running_loop()
    assert isinstance(loop, KeepingLoop)
    _call_no_run_slow()
    with tempfile.TemporaryDirectory() as folder:
        serving = asyncio.create_task(serve(load_config(str(_config(Path(folder)))), ServeOptions(port=0)))
        try:
            yield await _ready(loop, serving)
        finally:
            if not serving.done():
                os.kill(os.getpid(), signal.SIGTERM)
            await serving


def _call_no_run_slow() -> None:
    """A run that a neighbour holds up would send those after it to threads: another path than the recorded one."""
    for module in (on_loop, probe):
        if "LIMIT_S" not in vars(module):
            raise RuntimeError(f"{module.__name__} has no LIMIT_S: the guard must know what sends runs to threads")
        vars(module)["LIMIT_S"] = READY_WITHIN_S


async def _ready(loop: KeepingLoop, serving: asyncio.Task[int]) -> House:
    deadline = loop.time() + READY_WITHIN_S
    said = "nothing"
    while not serving.done() and loop.time() < deadline:
        if loop.connect is not None:
            house = House(loop, loop.connect)
            wire = house.wire()
            answer = await wire.ask(_READY)
            wire.close()
            if answer.startswith(b"HTTP/1.1 200 "):
                return house
            said = answer.decode("latin-1")
        await asyncio.sleep(_STEP_S)
    raise RuntimeError(f"the server was not ready within {READY_WITHIN_S:g} s; /readyz said {said}")


def _config(folder: Path) -> Path:
    config = folder / "guard.yaml"
    config.write_text(
        f"Models: [{{ID: {COMPUTED}, URL: '{PENGUINS}'}}, {{ID: {CACHED}, URL: '{PENGUINS}', DataStore: memory}},\n"
        f"  {{ID: {STORED}, URL: '{PENGUINS}', DataStore: disk}}]\n"
        "Datastores: [{ID: memory, Cache: {SizeMB: 16}}, {ID: disk, Connection: lmdb}]\n"
        f"Connections: [{{ID: lmdb, URL: 'lmdb:{folder}/lmdb?size_mb=16'}}]\n",
        encoding="utf-8",
    )
    return config
