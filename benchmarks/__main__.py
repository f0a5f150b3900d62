"""``python -m benchmarks [NAME...]``: all of them, or those named.

``python -m benchmarks peers`` is ``python -m benchmarks.peers``: it fetches packages and takes long, so only by name.
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
    "reload": reload.measure,
    "client": client.measure,
    "runs": runs.measure,
    "tensorflow": tensorflow.measure,
    "warming": warming.measure,
}


def main() -> None:
    """Prints the machine, then one table; what runs, and for how long, goes to stderr."""
    if sys.argv[1:2] == ["peers"]:
        compare_peers(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure mlserve on this machine.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
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
