"""What grows, and who is asked meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.load import CONNECTIONS
from benchmarks.process import Server

FLAT: Final = 0.05
"""The exponent of what is called flat: 1.4 times the cost with a thousand times as many."""
LINEAR: Final = 1.05
"""With room for what varies between runs."""

HITS: Final = "hits"
COMPUTED: Final = "computed"


@dataclass(frozen=True, slots=True)
class Target:
    """A server and what it is asked, as a script for wrk. Every answer has been asked for before, as often as it
    takes to be a hit."""

    server: Server
    script: str
    connections: int = CONNECTIONS


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of answer along an axis: whom to ask at each count. ``limit`` is the largest exponent that is well."""

    name: str
    targets: Mapping[int, Target]
    limit: float


@dataclass(frozen=True, slots=True)
class Axis:
    """``open`` starts what the axis needs, in a folder of its own, and leaves its end to the stack."""

    title: str
    open: Callable[[ExitStack, Path], list[Line]]
