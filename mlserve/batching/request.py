"""What waits in a :class:`~mlserve.batching.batcher.Batcher`: rows that fit a run, as the promise of their answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

from mlserve.batching.joining import joined
from mlserve.promise import Promise
from mlserve.types import Context, Rows


class Counter(Protocol):
    """Where requests are handed in: the batcher."""

    def withdraw(self, request: Request) -> None:
        """Take it out of its line, if it stands in one."""

    def expire(self, request: Request) -> None:
        """Its deadline has passed."""


class Request(Promise):
    """One caller's rows. ``line`` is the kind of that in which they stand: ``None`` before, and once they run."""

    __slots__ = ("_counter", "arrived", "context", "line", "rows", "timer")

    def __init__(self, rows: Rows, context: Context, arrived: float, counter: Counter) -> None:
        super().__init__()
        self.rows = rows
        self.context = context
        self.arrived = arrived
        self.line: Hashable = None
        self.timer: asyncio.TimerHandle | None = None
        self._counter = counter

    @property
    def waits(self) -> bool:
        return not self.kept

    @property
    def deadline(self) -> float:
        return self.context.deadline

    def expire(self) -> None:
        self._counter.expire(self)

    def abandon(self) -> None:
        """Its room in line is free at once; a run goes on, and what it answers is dropped."""
        self._counter.withdraw(self)
        self.fail(asyncio.CancelledError())

    def _keep(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None  # it holds the request
        super()._keep()


class Pieces(Promise):
    """A request with more rows than a run may have: pieces of ``size`` that go on their own, and one answer.

    The first piece to fail fails the whole, and the others are taken back. ``ask`` hands a piece in.
    """

    __slots__ = ("_missing", "_pieces")

    def __init__(self, rows: Rows, size: int, ask: Callable[[Rows], Request]) -> None:
        super().__init__()
        starts = range(0, rows.count, size)
        self._pieces: Sequence[Request] = [ask(rows.take(slice(start, start + size))) for start in starts]
        self._missing = len(self._pieces)
        for piece in self._pieces:
            piece.then(self._piece_ended)

    def abandon(self) -> None:
        for piece in self._pieces:
            piece.abandon()

    def _piece_ended(self, piece: Promise) -> None:
        self._missing -= 1
        if self.kept:
            return
        if piece.error is not None:
            self.fail(piece.error)
            self.abandon()
        elif not self._missing:
            self.settle(joined([piece.result() for piece in self._pieces]))
