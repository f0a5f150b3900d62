"""What an Aerospike server or its client means by a code, in words somebody can act upon.

Codes above 0 are the server's, those below the client's own.
"""

from __future__ import annotations

from typing import Final

from mlserve.contracts.store import StoreFault, StoreRefused

OK: Final = 0
NOT_FOUND: Final = 2
UNREADABLE: Final = -1
"""Of a single read: the record came, and the client cannot make Python values of it."""
NO_RESPONSE: Final = -15
SOME_FAILED: Final = -16
"""Of a batch: the rows say what."""

_REFUSED: Final = {
    4: "the server finds the request wrong",
    8: "the namespace is out of space: give it more, or let entries expire sooner",
    13: "larger than the namespace takes: see its max-record-size",
    14: "too many at once want the same record",
    18: "the disk of the namespace is overloaded",
    21: "a name of a bin that the server does not take",
    22: "forbidden: entries expire, so the namespace needs an nsup-period above 0",
    25: "only the enterprise edition does this",
}
_FAULTS: Final = {
    9: "no answer in time",
    11: "no node answers for this part of the data now",
    20: "the server has no such namespace, or no node is left that could say so",
    150: "batches are disabled on the server: set batch-index-threads above 0",
    151: "more keys at once than the server takes: raise its batch-max-requests",
    152: "the server's queue of batches is full",
    -2: "the client finds the request wrong",
    -7: "too many connections at once",
    -8: "no node is there",
    -10: "the connection failed",
    -14: "too many errors: the client rests for a moment",
    NO_RESPONSE: "no answer for this record",
}


def fault(code: int | None, said: str | None = None, *, writing: bool = False) -> StoreFault:
    """The error for ``code``; ``said`` is what the client or the server adds. :class:`StoreRefused` only for writes."""
    number = 1 if code is None else code
    words = _REFUSED.get(number) or _FAULTS.get(number) or "Aerospike failed"
    detail = f"code {number}: {said}" if said else f"code {number}"
    kind = StoreRefused if writing and number in _REFUSED else StoreFault
    return kind(f"{words} ({detail})")
