"""A process that does nothing but reload one model: ``python -m tests.support.reloads CONFIG LINK VERSIONS SAMPLE...``.

It holds the real manager of ``CONFIG``'s only model, whose URL is the symbolic link ``LINK``. The link is led from one
entry of the folder ``VERSIONS`` to the next (they lie there already and are older than what counts as settled); each
must be loaded, answer a row, and see the version before it closed. After the numbers of reloads named by ``SAMPLE``
what the process holds is printed, one JSON object a line.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
import psutil

from mlserve.config.load import load_config
from mlserve.daemon.models import open_manager, open_watch
from mlserve.observe.metrics import Metrics
from mlserve.serving.deployment import State
from mlserve.serving.events import Event, ModelFailed, ModelLoaded
from mlserve.serving.manager import Manager
from mlserve.serving.selftest import sample_rows
from mlserve.types import Context

PATIENCE_S = 30.0
"""How long one reload may take before the process gives up."""
_STEP_S = 0.002


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process holds after ``reloads``, garbage collected and only one version alive."""

    reloads: int
    resident_bytes: int
    threads: int
    open_files: int
    modules: int
    copies: int
    series: int


class Reloads:
    """One model's versions, published one after the other."""

    def __init__(self, manager: Manager, metrics: Metrics, link: Path) -> None:
        self._manager = manager
        self._metrics = metrics
        self._link = link
        self._loaded: asyncio.Queue[ModelLoaded] = asyncio.Queue()
        self._failed: list[str] = []
        manager.listen(self._on_event)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, ModelLoaded):
            self._loaded.put_nowait(event)
        elif isinstance(event, ModelFailed):
            self._failed.append(str(event.error))

    async def next(self, version: Path) -> None:
        """``version`` is published, loaded, asked once, and the one before it is closed."""
        async with asyncio.timeout(PATIENCE_S):
            lead(self._link, version)
            event = await self._loaded.get()
            deployment = event.deployment
            rows = sample_rows(deployment.interface, None, 1)
            with self._manager.acquire(deployment.model_id) as acquired:
                assert acquired is deployment
                await acquired.predict(rows, Context(time.monotonic() + PATIENCE_S))
            while event.replaced is not None and event.replaced.state is not State.CLOSED:  # no event tells
                await asyncio.sleep(_STEP_S)
        assert not self._failed, self._failed

    def sample(self, reloads: int) -> Sample:
        gc.collect()
        process = psutil.Process()
        return Sample(
            reloads=reloads,
            resident_bytes=process.memory_info().rss,
            threads=threading.active_count(),
            open_files=process.num_fds(),
            modules=len(sys.modules),
            copies=sum(1 for _ in Path(tempfile.gettempdir()).glob("mlserve-models-*/*")),
            series=sum(len(metric.samples) for metric in self._metrics.registry.collect()),
        )


def lead(link: Path, target: Path) -> None:
    """``link`` leads to ``target`` from now on, in one step."""
    staged = link.with_name(f".{link.name}")
    staged.symlink_to(target)
    staged.replace(link)


async def main(config: Path, link: Path, versions: Sequence[Path], samples: frozenset[int]) -> None:
    """Version 0 is the first load, version n the n-th reload."""
    loaded = load_config(str(config))
    metrics = Metrics()
    async with open_watch() as watch, open_manager(loaded.config, metrics, watch, [metrics.on_event]) as manager:
        reloads = Reloads(manager, metrics, link)
        lead(link, versions[0])
        manager.apply(loaded.config.models, loaded.base)
        for number, version in enumerate(versions):
            await reloads.next(version)
            if number in samples:
                sys.stdout.buffer.write(orjson.dumps(asdict(reloads.sample(number))) + b"\n")
                sys.stdout.flush()


if __name__ == "__main__":
    config_path, link_path, folder = map(Path, sys.argv[1:4])
    asyncio.run(main(config_path, link_path, sorted(folder.iterdir()), frozenset(map(int, sys.argv[4:]))))
