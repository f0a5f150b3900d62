"""A row of a file as a request that ``eval`` would take, so that it means here what it means there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class RowRequest:
    """Implements :class:`~mlserve.contracts.protocol.WireRequest`."""

    method: str
    query: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class FileRow(NamedTuple):
    """What stands from ``line`` on, counted from 1: a request, or the ``problem`` with it."""

    line: int
    request: RowRequest | None
    problem: str = ""
