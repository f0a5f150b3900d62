"""``python -m benchmarks peers [--rounds N] [--seconds N] [--write] [NAME...]``: all, or ours and those named."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from benchmarks.machine import busy, describe
from benchmarks.peers.compare import compare
from benchmarks.peers.ours import MLSERVE
from benchmarks.peers.plot import plot
from benchmarks.peers.report import report
from benchmarks.peers.servers import PEERS
from benchmarks.section import Section
from benchmarks.wrk import provide_wrk

SECTION = Section("peers")
ROUNDS = 5
SECONDS = 5


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the report; what runs, and what could not, goes to stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks peers", description="Measure mlserve beside others.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(peer.name for peer in PEERS)}")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each server (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of each load (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help=f"put the report into docs/{SECTION.page.name}")
    given = parser.parse_args(arguments)
    if unknown := sorted(set(given.names) - {peer.name for peer in PEERS}):
        parser.error(f"no server {', '.join(unknown)}; there are {', '.join(peer.name for peer in PEERS)}")
    if given.rounds < 1 or given.seconds < 1:
        parser.error("--rounds and --seconds are 1 or more")
    # By way of an exception, so that the server that runs meanwhile ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    provide_wrk()
    peers = [peer for peer in PEERS if not given.names or peer is MLSERVE or peer.name in given.names]
    machine = f"```text\n{describe()}\n```\n\n{busy()}"
    results = compare(peers, rounds=given.rounds, seconds=given.seconds)
    rounds = f"{given.rounds} rounds of {given.seconds} s each"
    text = f"{machine}Medians of {rounds}.\n\n{report(results, peers)}"
    print(text)
    if given.write:
        SECTION.write(f"![Processor time of an answer]({SECTION.plot.name})\n\n{text}", plot(results))


if __name__ == "__main__":
    main()
