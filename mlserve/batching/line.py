"""Requests in line for a run. Those whose rows can share one stand in one line, first come first served."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable

from mlserve.batching.joining import kind_of
from mlserve.batching.request import Request


class Line:
    """Requests of one kind. Any of them may leave from where it stands."""

    __slots__ = ("kind", "requests", "rows")

    def __init__(self, kind: Hashable) -> None:
        self.kind = kind
        self.rows = 0
        self.requests: OrderedDict[Request, None] = OrderedDict()

    @property
    def first(self) -> Request:
        return next(iter(self.requests))


class Lines:
    """All lines of a batcher; none of them is empty. ``on_queued`` is told by how many rows they grow or shrink."""

    def __init__(self, on_queued: Callable[[int], None]) -> None:
        self.rows = 0
        self._on_queued = on_queued
        self._by_kind: dict[Hashable, Line] = {}

    def __bool__(self) -> bool:
        return bool(self._by_kind)

    @property
    def all(self) -> Collection[Line]:
        return self._by_kind.values()

    def add(self, request: Request) -> None:
        """``request`` is the last of its line now."""
        kind = kind_of(request.rows)
        line = self._by_kind.get(kind)
        if line is None:
            line = self._by_kind[kind] = Line(kind)
        line.requests[request] = None
        line.rows += request.rows.count
        request.line = kind
        self._move(request.rows.count)

    def remove(self, request: Request) -> None:
        """Nothing happens to one that stands in no line."""
        if request.line is None:
            return
        line = self._by_kind[request.line]
        request.line = None
        del line.requests[request]
        line.rows -= request.rows.count
        if not line.requests:
            del self._by_kind[line.kind]
        self._move(-request.rows.count)

    def take(self, line: Line, most: int) -> list[Request]:
        """The front of ``line`` out of it, up to ``most`` rows."""
        if line.rows <= most:
            taken, rows = list(line.requests), line.rows
            del self._by_kind[line.kind]
        else:
            taken, rows = [], 0
            while rows + (count := line.first.rows.count) <= most:
                taken.append(line.requests.popitem(last=False)[0])
                rows += count
            line.rows -= rows
        for request in taken:
            request.line = None
        self._move(-rows)
        return taken

    def _move(self, change: int) -> None:
        self.rows += change
        self._on_queued(change)
