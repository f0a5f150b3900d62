"""What the comparison needs to know of a server. Each file that makes a :class:`Peer` is one server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers.dialect import Dialect
from benchmarks.peers.workload import Case


@dataclass(frozen=True, slots=True)
class Launch:
    """A command that serves HTTP on the port it was made for. ``ready`` answers 200 from when it serves the model."""

    command: tuple[str, ...]
    ready: str
    environ: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""


@dataclass(frozen=True, slots=True)
class Place:
    """What a server is started with: the ``python`` it is installed for, the ``model``, and an empty ``folder``.

    ``sample`` is the body of one of mlserve's answers, for those that can only repeat it.
    """

    python: Path
    model: Path
    folder: Path
    port: int
    sample: bytes


@dataclass(frozen=True, slots=True)
class Peer:
    """A server and the ways to ask it.

    ``launch`` writes what configuration it needs into the place's folder. ``requirements`` are what pip installs for it
    (without any, it runs in our own environment). ``only_first`` marks one that gives the same bytes to whatever it is
    asked.
    """

    name: str
    cases: tuple[Case, ...]
    dialects: Mapping[str, Dialect]
    """By what the table calls them; a server with one way to ask has it under its own name."""
    launch: Callable[[Place], Launch]
    requirements: tuple[str, ...] = ()
    only_first: bool = False
