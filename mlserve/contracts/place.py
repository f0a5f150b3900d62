"""Where a store keeps a part of its entries, in terms that clients of other kinds understand.

Offered by stores of :class:`~mlserve.contracts.store.RecordStore`, for the documents from which mly's clients connect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace and one of its sets; any of ``hosts``, names with ports, knows the rest of the cluster."""

    hosts: tuple[tuple[str, int], ...]
    namespace: str
    dataset: str


@runtime_checkable
class Locates(Protocol):
    """What the class of such a store can do without an instance."""

    @staticmethod
    def place(url: str, namespace: str | None, dataset: str | None) -> Place:
        """The place of the entries and records of a store at ``url``; no I/O.

        Raises :class:`~mlserve.contracts.store.StoreFault` where the store itself would.
        """
        ...
