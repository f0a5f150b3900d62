"""Rows through a model's own ``Predict``, so that its cache has their answers.

They go together, and in halves where some fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from time import monotonic
from typing import Final, NamedTuple

from mlserve.batching.joining import joined, kind_of
from mlserve.commands.file_row import FileRow
from mlserve.contracts.protocol import Protocol
from mlserve.errors import DeadlineExceeded, NotReady, RequestError, SetupError
from mlserve.serving.deployment import Deployment
from mlserve.types import Context, Rows, Serving

PATIENCE_S: Final = 120.0
"""For the rows of one call. Nobody waits for them, so it is long; but a model that hangs must not hang the command."""

_COUNTS: Final = re.compile(r"(\w+)=(\d+)")


class Refusal(NamedTuple):
    """A row that has no answer, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Filled:
    """What became of some rows: ``stored`` were in the cache already, ``computed`` are now, ``refused`` will not be."""

    stored: int = 0
    computed: int = 0
    refused: tuple[Refusal, ...] = ()

    def __add__(self, other: Filled) -> Filled:
        """Refusals in the order of their lines."""
        refused = tuple(sorted(self.refused + other.refused))
        return Filled(self.stored + other.stored, self.computed + other.computed, refused)


class _Placed(NamedTuple):
    """One row, and the line that it stands on."""

    line: int
    rows: Rows


async def fill(
    deployment: Deployment,
    protocol: Protocol,
    rows: Iterable[FileRow],
    *,
    max_rows: int,
    patience_s: float = PATIENCE_S,
) -> Filled:
    """Have ``deployment``, which the caller has entered, answer ``rows``: requests of ``protocol``, each a row or more.

    What is at fault is refused, and all else answered. Raises :class:`SetupError` for a model that hangs, or whose
    answers cannot be kept.
    """
    refused = []
    placed: list[_Placed] = []
    for row in rows:
        if row.request is None:
            refused.append(Refusal(row.line, row.problem))
            continue
        try:
            call = protocol.decode(row.request, deployment.interface, max_rows=max_rows)
        except RequestError as error:
            refused.append(Refusal(row.line, str(error)))
        else:
            placed += [_Placed(row.line, call.rows.take(slice(at, at + 1))) for at in range(call.rows.count)]
    filled = Filled(refused=tuple(refused))
    for _, alike in groupby(placed, key=lambda one: kind_of(one.rows)):
        together = list(alike)
        whole = deployment.interface.serving is Serving.WHOLE
        for part in [[one] for one in together] if whole else [together]:
            filled += await _answered(deployment, part, patience_s)
    return filled


async def _answered(deployment: Deployment, placed: Sequence[_Placed], patience_s: float) -> Filled:
    context = Context(monotonic() + patience_s, "warm")
    try:
        await deployment.predict(joined([one.rows for one in placed]), context)
    except (DeadlineExceeded, NotReady) as error:  # says nothing about any row: in halves it would only take longer
        raise SetupError(f"line {placed[0].line}: {error}") from error
    except RequestError as error:
        if len(placed) == 1:
            return Filled(refused=(Refusal(placed[0].line, _reason(error)),))
    else:
        stored = rows_stored(context.cache_status, len(placed))
        if stored is not None:
            return Filled(stored, len(placed) - stored)
        if len(placed) == 1:
            raise SetupError(f"line {placed[0].line}: the model's answers cannot be cached; a warning above says why")
    middle = len(placed) // 2
    first = await _answered(deployment, placed[:middle], patience_s)
    return first + await _answered(deployment, placed[middle:], patience_s)


def rows_stored(cache_status: str, rows: int) -> int | None:
    """How many of ``rows`` a tier had, by what a context says of its cache; ``None`` if they went past the cache."""
    if not cache_status or "fwd=bypass" in cache_status:
        return None
    if "detail=" in cache_status:
        return sum(int(count) for tier, count in _COUNTS.findall(cache_status) if tier != "miss")
    return rows if "; hit" in cache_status else 0


def _reason(error: RequestError) -> str:
    """The log has the cause of what a model raised; who looks at rows wants it beside the row."""
    cause = error.__cause__
    return str(error) if cause is None else f"{type(cause).__name__}: {cause}"
