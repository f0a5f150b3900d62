"""First runs of a version, before anybody waits for them: do its outputs line up with rows, and how quick is it?

They also warm the runtime up. Called by the assembler in a worker thread.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Final

from mlserve.contracts.backend import LoadedModel
from mlserve.inference.feed import Feed
from mlserve.inference.on_loop import LIMIT_S
from mlserve.types import Rows

_SIZES: Final = (1, 8, 64)
_RUNS: Final = 5
_ENOUGH: Final = 50
"""After this many times the limit nobody waits for more runs of a model that is slow."""


def run(model: LoadedModel, feed: Feed, rows: Rows) -> Rows:
    """Rows through the model, as a request's would go. Raises what the runtime raises, and ``Misaligned``."""
    return feed.rows([model.infer(tensors) for tensors in feed.tensors(rows)], rows.count)


def measure_inline_rows(model: LoadedModel, feed: Feed, sample: Callable[[int], Rows]) -> int:
    """The largest of a few request sizes whose quickest run is quick enough to stay on the loop; 0 if none is.

    The quickest, because neighbours of a crowded machine only ever add; what they always add is seen in service.
    """
    if not model.loop_safe:
        return 0
    inline = 0
    for size in _SIZES:
        rows = sample(size)
        if rows.count < size or _quickest_seconds(model, feed, rows) > LIMIT_S:
            break
        inline = size
    return inline


def _quickest_seconds(model: LoadedModel, feed: Feed, rows: Rows) -> float:
    run(model, feed, rows)
    times: list[float] = []
    while len(times) < _RUNS and sum(times) < _ENOUGH * LIMIT_S:
        start = perf_counter()
        run(model, feed, rows)
        times.append(perf_counter() - start)
    return min(times)
