"""``python -m benchmarks.guard``: exit code 1 if requests cost more than was recorded; ``--record`` records."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Final, TypeVar

from benchmarks.guard import measure
from benchmarks.guard.baseline import Baseline, Cost, file_of_this_python
from benchmarks.guard.report import advice, table
from benchmarks.guard.verdict import Judged, judge_steps, judge_times
from benchmarks.machine import describe

TRIES: Final = 5
"""Servers that are measured before a loss is believed. As many are measured to record: the least beside the least."""

Found = TypeVar("Found")


def main(argv: list[str] | None = None) -> int:
    """Answers the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.guard", description="Fail if a request costs more than was recorded."
    )
    parser.add_argument("--record", action="store_true", help="record what requests cost now, for this Python")
    asked = parser.parse_args(argv)
    try:
        return record() if asked.record else check()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1


def check() -> int:
    """Answers 1 if something is lost. Raises what says that it cannot be compared."""
    recorded = Baseline.read(file_of_this_python())
    of_steps, found = proven(measure.steps, lambda tries: judge_steps(recorded, tries))
    of_times, _ = proven(measure.ratios, lambda tries: judge_times(recorded, tries, processor()))
    judged = of_steps + of_times
    print(table(judged))
    if said := advice(judged, recorded, found[-1]):
        print(f"\n{said}")
    return 1 if any(one.lost for one in judged) else 0


def record() -> int:
    """For this minor version of Python."""
    steps = measure.steps()
    tries = [measure.ratios() for _ in range(TRIES)]
    paths = {name: Cost(of_path, min(found[name] for found in tries)) for name, of_path in steps.items()}
    file = file_of_this_python()
    Baseline(processor(), paths).write(file)
    for name, cost in paths.items():
        print(f"{name}: {cost.total:,} steps, the time of {cost.ratio:.2f} answers of the bare server")
    print(f"written to {file}")
    return 0


def proven(
    measured: Callable[[], Found], judge: Callable[[list[Found]], list[Judged]]
) -> tuple[list[Judged], list[Found]]:
    """Measures again while something looks lost, :data:`TRIES` times at most. The verdict, and all it rests on."""
    tries: list[Found] = []
    while True:
        tries.append(measured())
        judged = judge(tries)
        doubted = [one for one in judged if one.lost]
        if len(tries) == TRIES or not doubted:
            return judged, tries
        looks = ", ".join(f"{one.path} {one.measure} {one.growth:+.0%}" for one in doubted)
        print(f"once more, on another server: {looks}", file=sys.stderr, flush=True)


def processor() -> str:
    """The name that the machine gives it."""
    return describe().partition(",")[0]


if __name__ == "__main__":
    sys.exit(main())
