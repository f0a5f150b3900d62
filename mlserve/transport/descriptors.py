"""How many connections the operating system lets this process hold."""

from __future__ import annotations

import resource
from typing import Final

RESERVED: Final = 256
"""Descriptors for everything else: models being copied and loaded, stores, the log, connections being refused."""


def connections_allowed(wanted: int) -> int:
    """``wanted``, or as many connections as there are descriptors for.

    Raises the process's soft limit of open files as far as that takes and the hard limit lets it. Without this, what
    is over the limit would not be refused but fail wherever a file is opened next.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return max(1, min(wanted, limit - RESERVED))
