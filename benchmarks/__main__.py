"""``python -m benchmarks [NAME...]``: all of them, or those named.

``peers`` and ``growth`` take minutes, have arguments of their own and write into the documentation: only by name.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from benchmarks import (
    batch,
    cache_memory,
    client,
    codecs,
    http,
    http2,
    memory,
    mixed_batch,
    observe,
    reload,
    runs,
    start,
    tensorflow,
    tier_keys,
    tier_misses,
    tiers,
    warming,
)
from benchmarks.figure import Figure, table
from benchmarks.growth.__main__ import main as measure_growth
from benchmarks.machine import describe
from benchmarks.peers.__main__ import main as compare_peers
from mlserve.errors import MissingPackage

BENCHMARKS: dict[str, Callable[[], list[Figure]]] = {
    "start": start.measure,
    "memory": memory.measure,
    "cache_memory": cache_memory.measure,
    "tiers": tiers.measure,
    "tier_keys": tier_keys.measure,
    "tier_misses": tier_misses.measure,
    "codecs": codecs.measure,
    "http": http.measure,
    "http2": http2.measure,
    "observe": observe.measure,
    "batch": batch.measure,
    "mixed_batch": mixed_batch.measure,
    "reload": reload.measure,
    "client": client.measure,
    "runs": runs.measure,
    "tensorflow": tensorflow.measure,
    "warming": warming.measure,
}

BY_NAME: dict[str, Callable[[list[str]], None]] = {"peers": compare_peers, "growth": measure_growth}
"""Each takes the arguments behind its name."""


def main() -> None:
    """Prints the machine, then one table; what runs, and for how long, goes to stderr."""
    if sys.argv[1:2] and sys.argv[1] in BY_NAME:
        BY_NAME[sys.argv[1]](sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure mlserve on this machine.")
    known = f"of {', '.join(BENCHMARKS)}; default: all. By themselves: {', '.join(BY_NAME)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=known)
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := sorted(set(names) - BENCHMARKS.keys()):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    print(describe(), end="\n\n", flush=True)
    rows: list[tuple[str, ...]] = []
    for name in names:
        began = time.perf_counter()
        try:
            rows += [figure.cells() for figure in BENCHMARKS[name]()]
        except MissingPackage as error:
            rows.append((name, "not measured", "", str(error), "", ""))
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
