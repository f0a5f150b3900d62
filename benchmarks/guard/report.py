"""The words for a verdict: a table, and where something is lost, in which functions and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.figure import number
from benchmarks.guard.baseline import ELSEWHERE, RECORD, SHARE, Baseline
from benchmarks.guard.steps import Steps
from benchmarks.guard.verdict import Judged

_MOST_FUNCTIONS: Final = 8


def table(judged: Sequence[Judged]) -> str:
    """A line for each path and measure."""
    width = max(len(one.path) for one in judged)
    return "\n".join(
        f"{one.path:<{width}}  {one.measure}  {number(one.recorded):>8} -> {number(one.now):>8}  {one.growth:+6.1%}"
        f"{'  LOST' if one.lost else '  gained' if one.gained else ''}"
        for one in judged
    )


def advice(judged: Sequence[Judged], recorded: Baseline, now: Mapping[str, Steps]) -> str:
    """What was lost, where, and what to do; if nothing was, how to keep what was gained. Empty if there is neither."""
    lost = [_explained(one, recorded, now[one.path]) for one in judged if one.lost]
    if lost:
        return "\n\n".join([*lost, f"If this is meant, say in the commit what it buys, and record it: {RECORD}"])
    if any(one.gained for one in judged):
        return f"What was gained can be lost again unseen, until it is recorded: {RECORD}"
    return ""


def difference(recorded: Steps, now: Steps) -> list[str]:
    """The functions whose steps grew most, a line each. ``recorded`` names those of many steps."""
    least = sum(recorded.values()) * SHARE
    named = {name: count for name, count in now.items() if name in recorded or count >= least}
    named[ELSEWHERE] = sum(now.values()) - sum(named.values())
    grown = sorted(((count - recorded.get(name, 0), name) for name, count in named.items()), reverse=True)
    return [
        f"{more:+9,}  {name} ({recorded.get(name, 0):,} -> {named[name]:,})"
        for more, name in grown[:_MOST_FUNCTIONS]
        if more > 0
    ]


def _explained(one: Judged, recorded: Baseline, now: Steps) -> str:
    grew = f"{one.growth:.0%} more than recorded, and {one.most:.0%} may pass."
    if one.measure == "steps":
        lines = difference(recorded.paths[one.path].brief().steps, now)
        return "\n".join([f"{one.path} takes {number(one.now)} instructions of Python, {grew} What grew most:", *lines])
    return (
        f"{one.path} takes as long as {number(one.now)} answers of the bare server: in every try {grew}\n"
        "If its steps did not grow with it, look at what libraries are asked to do, at what is copied, and at what\n"
        "is left to the garbage collector."
    )
