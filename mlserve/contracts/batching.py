"""What others may ask of one version's batcher."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchState:
    """At one moment: runs in progress, batches that the rows in line make, and how long a batch is held open now.

    ``full`` says that there is no room in line, so that requests are refused.
    """

    runs: int
    waiting: int
    full: bool
    window_s: float
