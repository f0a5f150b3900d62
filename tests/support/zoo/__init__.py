"""The same few small models for every backend, built on the spot: what the backends' contract suite runs over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mlserve.contracts.backend import LoadOptions
from mlserve.types import DType, Shape


@dataclass(frozen=True)
class Built:
    """What ``Backend.load`` is called with."""

    artifact: Path | None
    options: LoadOptions = field(default_factory=LoadOptions)


class Zoo(Protocol):
    """Builds models for one backend. ``folder`` arguments are empty directories of the caller's."""

    dtypes: frozenset[DType]
    """Those that the runtime's identity takes; the suite tries each."""
    non_utf8: bool
    """True if the runtime's strings are bytes."""
    runtime_modules: tuple[str, ...]
    """What importing the backend must not import."""

    def identity(self, dtype: DType, shape: Shape) -> Built:
        """``x`` -> ``y``, equal."""
        ...

    def scale(self, folder: Path, factor: float) -> Built:
        """``x: float32[-1]`` -> ``y``, times ``factor``, with 1 MiB of weights."""
        ...

    def three(self, folder: Path) -> Built:
        """``x: float32[-1,3]`` -> ``double: float32[-1,3]``, ``size: int64[-1]`` (3), ``total: float32[-1]`` (sum)."""
        ...

    def table(self, folder: Path) -> Built:
        """``x: int64[-1]`` -> ``y: float32[-1]``, looked up in (10, 20, 30); fails for 7."""
        ...

    def broken(self, folder: Path) -> Sequence[Built]:
        """Artefacts that cannot be loaded: empty, noise, cut short."""
        ...
