"""What a call of the client answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

LOCAL: Final = "local"
SERVER: Final = "server"


@dataclass(slots=True)  # not frozen: made for every call, where freezing costs more than a local hit
class Result:
    """One row's outputs, or those of many rows.

    ``data`` maps each output's name to its value: of one row a plain scalar, or an array where the output is wider; of
    many an array with one element per row, in the order they were given. Strings stand in object arrays. ``dict_hash``
    tells which version of the model answered all of it; ``None``: the model says none. ``sources`` counts the rows
    that came from ``local``, ``l1``, ``l2`` and ``server``.
    """

    data: dict[str, Any]
    dict_hash: int | None
    sources: Mapping[str, int]

    def __getitem__(self, output: str) -> Any:
        """``result["score"]`` is ``result.data["score"]``."""
        return self.data[output]
