"""One model, asked with values of the command line: for one answer, or for many rows at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

import orjson

from mlserve.client.answer import Answer
from mlserve.client.plain import PlainClient
from mlserve.commands.given import Given
from mlserve.errors import BadAnswer, ClientError, RemoteError

FAULTS_OF_ROWS: Final = frozenset(("bad_request", "too_large", "inference_failed", "deadline_exceeded"))
"""Codes that say something about what was sent: other rows may still be answered."""
_SMALLER_MAY_PASS: Final = FAULTS_OF_ROWS - {"deadline_exceeded"}


class Asker:
    """Remembers which values the model takes as text."""

    def __init__(self, client: PlainClient, model: str, given: Given) -> None:
        self._client = client
        self._model = model
        self.given = given

    async def one(self, values: Mapping[str, Any], *, rows: int | None = None) -> Answer:
        """The answer for ``values`` and those of the command line, which are repeated for each of ``rows``.

        Raises :class:`~mlserve.errors.ClientError`.
        """
        given = self.given
        refusals: dict[str, RemoteError] = {}
        while True:
            constants = given.values if rows is None else {name: [one] * rows for name, one in given.values.items()}
            try:
                answer = await self._client.eval(self._model, {**constants, **values})
            except RemoteError as refusal:
                name = given.blamed(refusal) if refusal.code == "bad_request" else None
                if name is None or name not in given.guesses:
                    raise refusals.get(name or "", refusal) from None
                refusals[name] = refusal
                given = given.as_text(name)
            else:
                self.given = given
                return answer

    async def rows(self, rows: Sequence[Mapping[str, Any]]) -> list[Any | ClientError]:
        """What each of ``rows`` is answered, in order: sent together, and in halves where some are at fault.

        One row alone is sent as it is, so that it may be anything a request may be. Raises
        :class:`~mlserve.errors.ClientError` for what no row is to blame for.
        """
        try:
            if len(rows) == 1:
                return [(await self.one(rows[0])).data]
            return self._one_each(await self.one(_columns(rows), rows=len(rows)), len(rows))
        except RemoteError as error:
            if error.code not in FAULTS_OF_ROWS:
                raise
            fault: ClientError = error
            in_halves = error.code in _SMALLER_MAY_PASS
        except orjson.JSONEncodeError:  # what is read may be nested deeper than what is written
            fault = ClientError("nested too deep to be sent")
            in_halves = True
        if len(rows) == 1 or not in_halves:
            return [fault] * len(rows)
        middle = len(rows) // 2
        return await self.rows(rows[:middle]) + await self.rows(rows[middle:])

    def _one_each(self, answer: Answer, count: int) -> list[Any]:
        if not isinstance(answer.data, list):
            raise BadAnswer(f"{self._model} was asked for {count} rows, and its answer is no list")
        if len(answer.data) != count:
            raise BadAnswer(f"{self._model} was asked for {count} rows and answered {len(answer.data)}")
        return answer.data


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The rows as ``eval`` takes a batch. An input that only some have is ``null`` in the others: its ``Default``."""
    names = dict.fromkeys(chain.from_iterable(rows))
    return {"batch_size": len(rows), **{name: [row.get(name) for row in rows] for name in names}}
