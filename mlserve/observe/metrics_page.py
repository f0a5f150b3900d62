"""The page of metrics, written slice by slice, so that requests get their turn in between.

With a thousand models it has a hundred thousand lines, which take a second: at once, every answer would wait for them.
What a page tells of two models may be some milliseconds apart; what it tells of one is of one moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from prometheus_client import Metric
from prometheus_client.registry import Collector

Encode = Callable[[Collector], bytes]
"""The shape of :func:`prometheus_client.generate_latest`, and of its sister for OpenMetrics."""
_END: Final = b"# EOF\n"
"""What OpenMetrics ends with."""


async def metrics_page(slices: Iterable[Iterable[Metric]], encode: Encode) -> bytes:
    """What ``encode`` makes of all ``slices`` together. A family may have series in each of them.

    Called by the route, with :meth:`~mlserve.observe.exposition.Registry.slices`.
    """
    head: dict[str, bytes] = {}
    series: dict[str, list[bytes]] = {}
    for families in slices:
        for family in families:
            described, found = _split(encode(_One(family)).removesuffix(_END))
            head.setdefault(family.name, described)
            series.setdefault(family.name, []).append(found)
        await asyncio.sleep(0)
    end = encode(_None())
    return b"".join(head[name] + b"".join(found) for name, found in series.items()) + end


def _split(text: bytes) -> tuple[bytes, bytes]:
    """The lines that describe a family, and its series."""
    at = 0
    while text.startswith(b"# ", at):
        at = text.index(b"\n", at) + 1
    return text[:at], text[at:]


@dataclass(frozen=True, slots=True)
class _One(Collector):
    """A family by itself."""

    family: Metric

    def collect(self) -> Iterable[Metric]:
        return (self.family,)


class _None(Collector):
    """What is left of a page without families."""

    def collect(self) -> Iterable[Metric]:
        return ()
