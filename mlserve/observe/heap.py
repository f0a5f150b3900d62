"""What the process' memory holds, as text: the size of the process, caches, Python's objects, and who allocates."""

from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from mlserve.observe.exposition import MemoryStats

LISTED: Final = 30
TRACED_FRAMES: Final = 5
_STATUS: Final = Path("/proc/self/status")
_SIZES: Final = {"VmRSS": "resident now", "VmHWM": "resident at most", "VmSwap": "swapped out"}


def heap_report(datastores: Mapping[str, MemoryStats], trace_s: float, stop: threading.Event) -> str:
    """Blocks, for ``trace_s`` seconds if allocations are to be traced, less if ``stop`` is set. Call it in a thread."""
    growth = list(_growth(trace_s, stop)) if trace_s else [_HINT]
    return "\n".join([*_process(), "", *_caches(datastores), "", *_objects(), "", *growth, ""])


_HINT: Final = "allocations: add ?seconds=10 to see what is allocated, and kept, in ten seconds"


def _process() -> Iterator[str]:
    yield "process"
    try:
        lines = dict(line.split(":", 1) for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines())
    except (OSError, ValueError):
        yield "  this system does not tell its size"
        return
    for name, words in _SIZES.items():
        if name in lines:
            yield f"  {words:<30}{int(lines[name].split()[0]) / 1024:12,.1f} MiB"


def _caches(datastores: Mapping[str, MemoryStats]) -> Iterator[str]:
    yield "memory tiers of caches"
    if not datastores:
        yield "  none"
    for name, stats in list(datastores.items()):
        yield f"  {name:<30}{stats.used_bytes / 2**20:12,.1f} MiB{len(stats):14,} entries"


def _objects() -> Iterator[str]:
    """Only those that the collector knows: no numbers, strings or bytes, and no arrays of runtimes."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for it in gc.get_objects():
        kind = type(it)
        name = f"{kind.__module__}.{kind.__qualname__}"
        counts[name] += 1
        sizes[name] += _size(it)
    yield f"Python objects that the collector visits ({counts.total():,}; {gc.get_freeze_count():,} more are frozen)"
    for name, count in counts.most_common(LISTED):
        yield f"  {name:<50}{count:12,}{sizes[name] / 1024:14,.0f} KiB"


def _size(it: object) -> int:
    try:
        return sys.getsizeof(it)
    except Exception:  # __sizeof__ is whatever a class says
        return 0


def _growth(seconds: float, stop: threading.Event) -> Iterator[str]:
    ours = not tracemalloc.is_tracing()
    if ours:
        tracemalloc.start(TRACED_FRAMES)
    try:
        before = tracemalloc.take_snapshot()
        stop.wait(seconds)
        after = tracemalloc.take_snapshot()
        overhead = tracemalloc.get_tracemalloc_memory()
    finally:
        if ours:
            tracemalloc.stop()
    found = after.compare_to(before, "lineno")
    found.sort(key=lambda one: -one.size_diff)
    yield f"allocations of {seconds:g} s that were kept (tracing took {overhead / 1024:,.0f} KiB meanwhile)"
    for one in found[:LISTED]:
        if one.size_diff > 0:
            frame = one.traceback[0]
            yield f"  {one.size_diff / 1024:12,.1f} KiB{one.count_diff:10,} blocks  {frame.filename}:{frame.lineno}"
