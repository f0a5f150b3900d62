"""What requests cost when somebody last agreed to it: one small file for each minor version of Python."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.guard.paths import PATHS
from benchmarks.guard.steps import Steps

RECORD: Final = "make guard ARGS=--record"
FOLDER: Final = Path(__file__).parent / "baselines"
ELSEWHERE: Final = "elsewhere"
"""The steps of all functions that have few each."""
SHARE: Final = 0.01
"""Of a path's steps: functions with fewer are not named in the file."""
_TO_DO: Final = f"On a commit whose speed is right, record it: {RECORD}"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one request: its steps by function, and its processor time in answers of the bare server."""

    steps: Steps
    ratio: float

    @property
    def total(self) -> int:
        return sum(self.steps.values())

    def brief(self) -> Cost:
        """The same with the functions named that matter."""
        least = self.total * SHARE
        named = {name: count for name, count in sorted(self.steps.items()) if count >= least and name != ELSEWHERE}
        return Cost({**named, ELSEWHERE: self.total - sum(named.values())}, round(self.ratio, 3))


@dataclass(frozen=True, slots=True)
class Baseline:
    """The cost of each path, by its name, as measured on this ``processor``."""

    processor: str
    paths: Mapping[str, Cost]

    def write(self, file: Path) -> None:
        """In lines, so that a change of it can be read, and without functions of few steps."""
        brief = {name: cost.brief() for name, cost in self.paths.items()}
        paths = {name: {"ratio": cost.ratio, "steps": cost.steps} for name, cost in brief.items()}
        text = json.dumps({"processor": self.processor, "paths": paths}, indent=1)
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{text}\n", encoding="utf-8")

    @staticmethod
    def read(file: Path) -> Baseline:
        """Raises :class:`RuntimeError`, with what to do, if there is none or it is not of the paths there are now."""
        if not file.exists():
            raise RuntimeError(f"{file} is missing: nobody has recorded what requests cost on this Python. {_TO_DO}")
        found = json.loads(file.read_text(encoding="utf-8"))
        if found["paths"].keys() != (known := {path.name for path in PATHS}):
            odd = ", ".join(sorted(found["paths"].keys() ^ known))
            raise RuntimeError(f"{file} and benchmarks/guard/paths.py do not have the same paths: {odd}. {_TO_DO}")
        paths = {name: Cost(cost["steps"], cost["ratio"]) for name, cost in found["paths"].items()}
        return Baseline(found["processor"], paths)


def file_of_this_python() -> Path:
    """``baselines/3.11.json``"""
    return FOLDER / f"{sys.version_info.major}.{sys.version_info.minor}.json"
