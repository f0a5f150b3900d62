"""``python -m benchmarks growth [--rounds N] [--seconds N] [--write] [NAME...]``: all axes, or those named."""

from __future__ import annotations

import argparse
import resource
import signal
import sys
from collections.abc import Sequence
from typing import Final

from benchmarks.growth.axis import Axis
from benchmarks.growth.connections import CONNECTED
from benchmarks.growth.holding import Holding
from benchmarks.growth.inputs import INPUTS
from benchmarks.growth.keys import KEYS
from benchmarks.growth.measure import grow
from benchmarks.growth.models import models
from benchmarks.growth.plot import plot
from benchmarks.growth.report import report
from benchmarks.machine import busy, describe
from benchmarks.section import Section
from benchmarks.wrk import provide_wrk

SECTION: Final = Section("growth")
ROUNDS: Final = 3
SECONDS: Final = 1
OPEN_FILES: Final = 8_192
"""Enough for all connections, at both ends."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the report; how far it is goes to stderr."""
    holdings: list[Holding] = []
    axes: dict[str, Axis] = {
        "models": models(holdings),
        "keys": KEYS,
        "inputs": INPUTS,
        "connections": CONNECTED,
    }
    parser = argparse.ArgumentParser(prog="python -m benchmarks growth", description="Measure how cost grows.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(axes)}; default: all")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each load (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of each load (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help=f"put the report into docs/{SECTION.page.name}")
    given = parser.parse_args(arguments)
    if unknown := sorted(set(given.names) - axes.keys()):
        parser.error(f"no axis {', '.join(unknown)}; there are {', '.join(axes)}")
    if given.rounds < 1 or given.seconds < 1:
        parser.error("--rounds and --seconds are 1 or more")
    if given.write and given.names:
        parser.error("--write takes all axes, so name none")
    # By way of an exception, so that the servers that run meanwhile end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    _allow_open_files()
    provide_wrk()
    machine = f"```text\n{describe()}\n```\n\n{busy()}"
    chosen = [axis for name, axis in axes.items() if name in (given.names or axes)]
    results = {axis.title: grow(axis, rounds=given.rounds, seconds=given.seconds) for axis in chosen}
    rounds = f"Medians of {given.rounds} rounds of {given.seconds} s each."
    text = f"{machine}{rounds}\n\n{report(results, holdings)}"
    print(text)
    if given.write:
        SECTION.write(f"![Processor time of an answer as things grow]({SECTION.plot.name})\n\n{text}", plot(results))


def _allow_open_files() -> None:
    """For us, and for what we start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES:
        allowed = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


if __name__ == "__main__":
    main()
