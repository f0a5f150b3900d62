"""The contract of a layout: where a shared store keeps a row's answer, and in what form.

A layout is pure: no I/O, no clock of its own. One belongs to one version of a model. The chain asks it for names, gets
values under them from a store, and reads those with suspicion: a store is shared, and what stands under a name may be
old, cut short, of another version or somebody else's. Whatever :meth:`Layout.read` raises is a miss, and is counted as
what it was.

Implemented by ``native.py`` (entries of bytes, for every store) and ``mly.py`` (records that mly's clients read).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

from mlserve.types import Rows

GENERATION_BYTES: Final = 16
"""As much of the generation's digest as stands in front of the key text in every full key."""

N = TypeVar("N")
"""What a store calls a value by."""
V = TypeVar("V")
"""What a store keeps."""


class Stored(NamedTuple):
    """A row's answer as it was found.

    ``payload`` is as ``payload.encode`` made it, but decode it before you trust it. ``ttl_s`` is what is left of its
    life, always above 0; ``age_s`` is how long ago it was stored, ``None`` where the layout does not tell.
    """

    payload: bytes
    ttl_s: float
    age_s: float | None


class Damaged(Exception):
    """The value does not decode, is too large, or is the answer to another row."""


class Expired(Exception):
    """The value was good, and its time is up."""


class Stale(Exception):
    """The value is of another version of the model, or does not say of which."""


class Layout(Protocol[N, V]):
    """One version's rows in one kind of store. Times are Unix time in seconds, lives are in seconds.

    A full key is :data:`GENERATION_BYTES` of the generation, then the key text in UTF-8 with surrogates passed.
    """

    @property
    def written_only(self) -> str | None:
        """Where what is written is for others alone: for whom, and why it is not read. ``None`` where it is read."""
        ...

    def names(self, keys: Sequence[bytes], rows: Rows) -> list[N | None]:
        """Where each row is stored, in order; ``None``: this row has no place in this layout.

        ``keys`` are the full keys of ``rows``, which are as the model sees them: rounded and folded.
        """
        ...

    def read(self, key: bytes, value: V, now: float) -> Stored:
        """The answer in ``value``, which stood under the name of ``key``.

        Raises :class:`Damaged`, :class:`Expired` or :class:`Stale`, and nothing else.
        """
        ...

    def write(self, key: bytes, payload: bytes, now: float, life_s: float) -> V | None:
        """What to store so that ``read`` gives back ``payload`` for ``life_s`` from ``now``; ``None``: it does not fit.

        ``payload`` is the row's answer as ``payload.encode`` made it.
        """
        ...
