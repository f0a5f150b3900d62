"""What the contract suite needs to know of a kind of store: how to make one, and how to make its ``open`` fail."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from mlserve.contracts.store import Store


class Ground(Protocol):
    """One place where entries are kept: a folder, a server."""

    def store(self) -> Store:
        """A new store on it, not open yet."""
        ...

    def out_of_order(self) -> AbstractAsyncContextManager[None]:
        """While this lasts, no store can be opened on it. Nobody has it open meanwhile."""
        ...
