"""How many processors this process may use: the machine's, less what its container or its operator keeps from it.

In a container the machine's processors are all in sight. A limit on the time they may be used for (``cpu.max`` of
control groups, which Kubernetes' ``limits.cpu`` and Docker's ``--cpus`` become) is to be read from files only; more
threads than it lets run only stop one another until its next period.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path, PurePosixPath
from typing import Final

UNLIMITED: Final = ("max", "-1")
"""What stands for no limit in ``cpu.max`` (version 2) and ``cpu.cfs_quota_us`` (version 1)."""


@dataclass(frozen=True, slots=True)
class Processors:
    """``count`` is at least 1; ``reason`` is what it comes from, in the words of the log."""

    count: int
    reason: str


def processors() -> Processors:
    """Those of this process now: a limit may change while it runs. Blocks for some short reads."""
    asked = sys._xoptions.get("cpu_count") or os.environ.get("PYTHON_CPU_COUNT")  # noqa: SLF001  # as Python 3.13 does
    return count_processors(_schedulable(), asked, Path("/"))


def count_processors(schedulable: int, asked: str | None, root: Path) -> Processors:
    """``asked`` if it is a number; else ``schedulable``, or the limit of the control groups below ``root`` if lower.

    A limit of 2.5 processors makes 3: the third runs half of the time. Pure but for the files.
    """
    if asked is not None and asked.isascii() and asked.isdigit() and int(asked) > 0:
        return Processors(int(asked), "PYTHON_CPU_COUNT")
    found = [Processors(max(1, ceil(limit)), f"cgroup {file}") for limit, file in _limits(root)]
    return min([Processors(schedulable, "affinity"), *found], key=lambda it: it.count)


def _schedulable() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _limits(root: Path) -> Iterator[tuple[float, str]]:
    """Every limit that holds for this process, in processors, and the file that it stands in: see cgroups(7)."""
    mounted = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            for group in _and_above(mounted, path):
                yield from _limit(_text(group / "cpu.max").split(), "cpu.max")
        elif "cpu" in controllers.split(","):
            at = next((mounted / name for name in (controllers, "cpu") if (mounted / name).is_dir()), mounted)
            for group in _and_above(at, path):
                texts = [_text(group / name).strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
                yield from _limit(texts, "cpu.cfs_quota_us")


def _and_above(mounted: Path, path: str) -> Iterator[Path]:
    """The group and those around it, whose limits it shares. In a container the files of its own may be the root's."""
    inside = PurePosixPath(*(part for part in PurePosixPath(path).parts if part not in ("/", "..")))
    for group in (inside, *inside.parents):
        yield mounted / group


def _limit(texts: list[str], file: str) -> Iterator[tuple[float, str]]:
    match texts:
        case [quota, period] if quota not in UNLIMITED and quota.isdigit() and period.isdigit() and int(period) > 0:
            yield int(quota) / int(period), file


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:  # another system, another version, or not ours to read: no limit that we know of
        return ""
