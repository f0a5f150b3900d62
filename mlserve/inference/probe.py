"""First runs of a version, before anybody waits for them: do its outputs line up with rows, and how quick is it?

They also warm the runtime up. Called by the assembler in a worker thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Final

from mlserve.contracts.backend import LoadedModel
from mlserve.inference.feed import Feed, Misaligned
from mlserve.inference.on_loop import LIMIT_S
from mlserve.types import Rows

_SMALL: Final = (1, 8, 64)
_LIMIT_OF_MANY_S: Final = LIMIT_S / 4
"""For more rows than that. What is measured is one row many times: rows that differ took a forest of trees three times
as long."""
_RUNS: Final = 5
_ENOUGH: Final = 50
"""After this many times the limit nobody waits for more runs of a model that is slow."""


def run(model: LoadedModel, feed: Feed, rows: Rows) -> Rows:
    """Rows through the model, as a request's would go. Raises what the runtime raises, and ``Misaligned``."""
    return feed.rows([model.infer(tensors) for tensors in feed.tensors(rows)], rows.count)


def measure_inline_rows(model: LoadedModel, feed: Feed, sample: Callable[[int], Rows], most_rows: int) -> int:
    """The largest of some request sizes whose quickest run is quick enough to stay on the loop; 0 if none is.

    The quickest, because neighbours of a crowded machine only ever add; what they always add is seen in service.
    ``most_rows`` is the largest run there will be. Each size beyond 64 is at most twice one that was quick, so that to
    measure them all takes milliseconds. A size that fails ends the measuring, as a slow one does: the model may be
    right to take so many rows and no more. Raises ``Misaligned``.
    """
    if not model.loop_safe:
        return 0
    inline = 0
    for size in _sizes(most_rows):
        rows = sample(size)
        limit_s = LIMIT_S if size <= _SMALL[-1] else _LIMIT_OF_MANY_S
        try:
            if rows.count < size or _quickest_seconds(model, feed, rows) > limit_s:
                break
        except Misaligned:
            raise
        except Exception:
            break
        inline = size
    return inline


def _sizes(most_rows: int) -> Iterator[int]:
    yield from _SMALL
    size = 2 * _SMALL[-1]
    while size < most_rows:
        yield size
        size *= 2
    if most_rows > _SMALL[-1]:
        yield most_rows


def _quickest_seconds(model: LoadedModel, feed: Feed, rows: Rows) -> float:
    run(model, feed, rows)
    times: list[float] = []
    while len(times) < _RUNS and sum(times) < _ENOUGH * LIMIT_S:
        start = perf_counter()
        run(model, feed, rows)
        times.append(perf_counter() - start)
    return min(times)
