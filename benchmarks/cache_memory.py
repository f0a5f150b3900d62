"""What an entry of the memory tier really costs, and how long a collection stops the loop with a million of them."""

from __future__ import annotations

import gc
import json
import random
import subprocess
import sys
import time
from statistics import median
from typing import Any, cast

import psutil

from benchmarks.figure import Figure, number
from mlserve.observe.model_metrics import ModelMetrics
from mlserve.serving.deployment import Deployment
from mlserve.stores.memory import ENTRY_BYTES, MemoryStore
from mlserve.transport.repeats import REPEAT_BYTES, Answer, Repeats, Version

ENTRIES = 1_000_000
LIFE_S = 3600.0
SIZES = {"short": (40, 30, 30), "usual": (60, 60, 60), "mixed": (60, 20, 600)}
"""Bytes of key, of the smallest and of the largest value."""


def measure() -> list[Figure]:
    """Each store in a process of its own, filled three times over, so that eviction and reuse are in the figure."""
    found = {name: _in_process(name) for name in SIZES}
    usual = found["usual"]
    return [
        Figure(
            "resident memory for a full memory tier of 100 MB",
            [100 * one["grown"] / one["size"] for one in found.values()],
            "MB",
            below=120,
            beside=", ".join(
                f"{name} entries {number(100 * one['grown'] / one['size'])}" for name, one in found.items()
            ),
        ),
        Figure(
            f"memory per entry beyond key and value, {ENTRIES:,} entries",
            [one["beyond"] for one in found.values()],
            "B",
            beside=f"{ENTRY_BYTES} B are counted",
        ),
        Figure(f"full collection with {ENTRIES:,} entries", usual["collections_ms"], "ms", below=20),
        Figure(
            f"full collection with {ENTRIES:,} entries, after gc.freeze()",
            usual["frozen_ms"],
            "ms",
            beside=f"{number(median(usual['lists_ms']))} ms if each entry were a list, not frozen",
        ),
        _known_requests(),
        Figure("longest put, growth and eviction included", [one["longest_ms"] for one in found.values()], "ms"),
    ]


def _known_requests() -> Figure:
    found = _in_process("requests")
    return Figure(
        "memory of the door per known request, beyond its bytes and its answer's",
        [found["beyond"]],
        "B",
        beside=f"{REPEAT_BYTES} B are counted; longest learning {number(found['longest_ms'])} ms",
    )


def _in_process(name: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cache_memory", name], check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _fill(name: str) -> dict[str, Any]:
    key_bytes, smallest, largest = SIZES[name]
    source = random.Random(1)
    store = MemoryStore(ENTRIES * (key_bytes + (smallest + largest) // 2 + 8 + ENTRY_BYTES))
    gc.collect()
    before = psutil.Process().memory_info().rss
    longest = 0.0
    for count in range(3 * ENTRIES):
        key = count.to_bytes(key_bytes, "little")
        value = count.to_bytes(source.randint(smallest, largest), "little")
        start = time.perf_counter()
        store.put(key, value, LIFE_S)
        longest = max(longest, time.perf_counter() - start)
        store.get((source.randint(0, count)).to_bytes(key_bytes, "little"))
    grown = psutil.Process().memory_info().rss - before
    payload = store.used_bytes - len(store) * ENTRY_BYTES
    found = {
        "size": store.shard_bytes * store.shards,
        "grown": grown,
        "beyond": (grown - payload) / len(store),
        "longest_ms": longest * 1e3,
        "collections_ms": _collections_ms(),
    }
    gc.freeze()
    found["frozen_ms"] = _collections_ms()
    gc.unfreeze()
    store.clear()
    lists = {count: [count, count + 0.5] for count in range(ENTRIES)}
    return found | {"lists_ms": _collections_ms(), "lists": len(lists)}


def _learn() -> dict[str, Any]:
    """As much as 48 MB of requests, three times over, beside a memory tier that holds their rows anyway."""
    metrics = ModelMetrics("m")
    version = Version(cast("Deployment", None), MemoryStore(1), metrics, metrics.requests_by("eval"), b"")
    repeats = Repeats(lambda: 48 * 1024 * 1024)
    gc.collect()
    before = psutil.Process().memory_info().rss
    longest = 0.0
    for number_of in range(300_000):
        request = b"GET /v1/api/model/m/eval?x=%020d HTTP/1.1\r\nHost: a\r\n\r\n" % number_of
        answer = tuple([part % number_of for part in (b"key %010d", b"entry %030d", b"head %040d", b"tail %020d")])
        start = time.perf_counter()
        repeats.learn(request, version, cast("Answer", answer))
        longest = max(longest, time.perf_counter() - start)
    grown = psutil.Process().memory_info().rss - before
    payload = repeats.used_bytes - len(repeats) * REPEAT_BYTES
    return {
        "beyond": (grown - payload) / len(repeats),
        "longest_ms": longest * 1e3,
        "collections_ms": _collections_ms(),
    }


def _collections_ms() -> list[float]:
    """The first collection sorts new objects out; those that follow are what a running server pays."""
    gc.collect()
    pauses = []
    for _ in range(5):
        start = time.perf_counter()
        gc.collect()
        pauses.append((time.perf_counter() - start) * 1e3)
    return pauses


if __name__ == "__main__":
    print(json.dumps(_learn() if sys.argv[1] == "requests" else _fill(sys.argv[1])))
