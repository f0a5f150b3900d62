"""What a run of the command line said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """Exit code, standard output, standard error."""

    code: int
    out: str
    err: str


Mlserve = Callable[..., Outcome]
"""``mlserve("check", "-c", path)``."""
