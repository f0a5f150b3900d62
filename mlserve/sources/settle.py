"""When is a source worth copying? When nobody writes to it any more, as far as one can see from outside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from math import ceil
from typing import Final, Protocol

from mlserve.errors import SourceError
from mlserve.sources.artifact import Listing

APART_S: Final = 1.0
"""Time between the two listings that must be equal."""
QUIET_S: Final = 2.0
"""A newest file older than this needs no second listing."""


class Listable(Protocol):
    """The part of a source that settling needs."""

    url: str
    ready_file: str | None

    async def listing(self) -> Listing: ...


def is_settled(before: Listing | None, now: Listing, unix_time: float, ready_file: str | None = None) -> bool:
    """True if ``now``, taken at ``unix_time`` and :data:`APART_S` after ``before``, can be copied.

    A ready file is its writer's promise that all is there: it alone decides. Times in the future prove nothing: then,
    as where there are no times, two equal listings decide.
    """
    if ready_file is not None:
        return any(file.name == ready_file for file in now.files)
    return (now.newest is not None and unix_time - now.newest > QUIET_S) or now == before


async def settled(
    source: Listable,
    *,
    timeout_s: float = 600.0,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Listing:
    """The first listing that stands still. Called by whoever wants to fetch, before fetching.

    Raises :class:`SourceError` if a listing does, or if after ``timeout_s`` files still move or the ready file is
    still missing; the error says which. ``clock`` tells Unix time, ``sleep`` takes seconds.
    """
    before: Listing | None = None
    now = await source.listing()
    for _ in range(max(1, ceil(timeout_s / APART_S))):
        if is_settled(before, now, clock(), source.ready_file):
            return now
        await sleep(APART_S)
        before, now = now, await source.listing()
    if is_settled(before, now, clock(), source.ready_file):
        return now
    raise SourceError(f"{source.url}: not settled after {timeout_s:g} s: {_why(before or now, now, source.ready_file)}")


def changes(before: Listing, now: Listing) -> str:
    """The names that differ between two listings, for messages: at most five."""
    moved = sorted({file.name for file in set(before.files) ^ set(now.files)})
    return ", ".join(moved[:5]) + (f" and {len(moved) - 5} more" if len(moved) > 5 else "")


def _why(before: Listing, now: Listing, ready_file: str | None) -> str:
    if ready_file is not None:
        return f"the ready file {ready_file} is not there"
    return f"{changes(before, now)} still changed"
