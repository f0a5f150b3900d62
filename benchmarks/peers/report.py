"""The results as Markdown: a table for each case, one of the servers, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

from benchmarks.figure import number, table
from benchmarks.peers.ours import NAME
from benchmarks.peers.peer import Peer
from benchmarks.peers.results import Asked, Results, Started
from benchmarks.peers.workload import CACHED, CASES, UNCACHED, Case

GOALS: Final = {
    (CACHED.name, "Triton, JSON"): 3.0,
    (CACHED.name, "Triton, binary tensors"): 3.0,
    (UNCACHED.name, "Triton, JSON"): 2.5,
    (UNCACHED.name, "Triton, binary tensors"): 2.5,
    (UNCACHED.name, "MLServer"): 10.0,
    (UNCACHED.name, "LitServe"): 10.0,
}
"""How many of our answers should cost what one of theirs does."""
_ASKED: Final = ("server", "answers/s", "range", "CPU each", "ours for one", "goal", "", "p50", "p99", "p99.9")
_STARTED: Final = ("server", "start", "range", "memory")


def report(results: Results, peers: Sequence[Peer]) -> str:
    """All that was measured."""
    parts = [_case(case, results.of(case)) for case in CASES]
    parts.append("**The servers**\n\n" + table([_start(started) for started in results.starts()], _STARTED))
    parts += [f"{name} is missing: {why}." for name, why in results.absent.items()]
    installed = [f"{peer.name}: {', '.join(peer.requirements)}" for peer in peers if peer.requirements]
    parts.append("Installed for " + ";\n".join(installed) + ".")
    return "\n\n".join(parts)


def _case(case: Case, all_asked: Sequence[Asked]) -> str:
    title = (
        f"**{case.name[0].upper()}{case.name[1:]}**: {case.connections} connections; latencies at {case.pace} a second"
    )
    ours = next((asked for asked in all_asked if asked.name == NAME), None)
    return f"{title}\n\n" + table([_row(asked, ours) for asked in all_asked], _ASKED)


def _row(asked: Asked, ours: Asked | None) -> tuple[str, ...]:
    span = f"{number(min(asked.per_second))} to {number(max(asked.per_second))}"
    latencies = (_latency(asked.percentile_us(share)) for share in (0.5, 0.99, 0.999))
    return (asked.name, number(asked.rate), span, f"{number(asked.cost)} us", *_beside(asked, ours), *latencies)


def _beside(asked: Asked, ours: Asked | None) -> tuple[str, str, str]:
    if ours is None or asked is ours:
        return "", "", ""
    times, goal = asked.times_ours(ours), GOALS.get((asked.case.name, asked.name))
    if goal is None:
        return number(times), "", ""
    return number(times), f"> {number(goal)}", "ok" if times > goal else "under"


def _latency(us: float) -> str:
    return f"{number(us / 1_000)} ms" if us < 1e6 else f"{number(us / 1e6)} s"


def _start(started: Started) -> tuple[str, ...]:
    span = f"{number(min(started.seconds))} to {number(max(started.seconds))}"
    memory = f"{number(median(started.memory_bytes) / 1e6)} MB"
    return started.name, f"{number(median(started.seconds))} s", span, memory
