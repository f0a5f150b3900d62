"""What waits in a :class:`~mlserve.batching.batcher.Batcher`: requests, their pieces, and lines of pieces alike."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mlserve.types import Context, Rows


@dataclass(slots=True, eq=False)
class Request:
    """One caller. ``done`` is set when every piece has its answer, or holds the error of the first that failed."""

    context: Context
    arrived: float
    done: asyncio.Future[None]
    answers: list[Rows | None]
    missing: int

    def put(self, index: int, answer: Rows) -> None:
        """The answer of piece ``index``; nothing happens if the caller has gone."""
        if self.done.done():
            return
        self.answers[index] = answer
        self.missing -= 1
        if not self.missing:
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        """Nothing happens if the caller has gone."""
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(slots=True, eq=False)
class Piece:
    """As many rows of a request as share one run."""

    rows: Rows
    request: Request
    index: int


@dataclass(slots=True, eq=False)
class Line:
    """Pieces whose rows can share a run, first come first served. Any of them may leave from where it stands."""

    kind: Hashable
    rows: int = 0
    pieces: OrderedDict[Piece, None] = field(default_factory=OrderedDict)

    def add(self, piece: Piece) -> None:
        self.pieces[piece] = None
        self.rows += piece.rows.count

    def remove(self, piece: Piece) -> bool:
        """False if the piece is no longer in the line."""
        if piece not in self.pieces:
            return False
        del self.pieces[piece]
        self.rows -= piece.rows.count
        return True

    @property
    def first(self) -> Piece:
        return next(iter(self.pieces))


def kind_of(rows: Rows) -> Hashable:
    """Equal for rows that can share a run: same dtypes, same shapes behind axis 0."""
    return tuple([(column.dtype, column.shape[1:]) for column in rows.columns.values()])


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of ``parts`` one after another."""
    if len(parts) == 1:
        return parts[0]
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    return Rows(columns, sum([part.count for part in parts]))
