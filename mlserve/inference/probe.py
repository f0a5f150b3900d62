"""First runs of a version, before anybody waits for them: do its outputs line up with rows, and how quick is it?

They also warm the runtime up. Called by the assembler in a worker thread.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Final

from mlserve.contracts.backend import LoadedModel
from mlserve.inference.feed import Feed
from mlserve.types import Rows

INLINE_SECONDS: Final = 200e-6
"""A run that takes longer than this leaves the event loop: a hand-off to a thread costs about a quarter of it."""

_SIZES: Final = (1, 8, 64)
_RUNS: Final = 5
_ENOUGH: Final = 50
"""After this many times the limit nobody waits for more runs of a model that is slow."""


def run(model: LoadedModel, feed: Feed, rows: Rows) -> Rows:
    """Rows through the model, as a request's would go. Raises what the runtime raises, and ``Misaligned``."""
    return feed.rows([model.infer(tensors) for tensors in feed.tensors(rows)], rows.count)


def measure_inline_rows(model: LoadedModel, feed: Feed, sample: Callable[[int], Rows]) -> int:
    """The largest of a few request sizes whose median run is quick enough to stay on the loop; 0 if none is."""
    if not model.loop_safe:
        return 0
    inline = 0
    for size in _SIZES:
        rows = sample(size)
        if rows.count < size or _median_seconds(model, feed, rows) > INLINE_SECONDS:
            break
        inline = size
    return inline


def _median_seconds(model: LoadedModel, feed: Feed, rows: Rows) -> float:
    run(model, feed, rows)
    times: list[float] = []
    while len(times) < _RUNS and sum(times) < _ENOUGH * INLINE_SECONDS:
        start = perf_counter()
        run(model, feed, rows)
        times.append(perf_counter() - start)
    return median(times)
