"""The contract of a protocol: the bytes of one request to rows, and the rows of its answer to bytes.

A protocol is one file in ``mlserve/protocols`` and one row in ``mlserve/registry.py``. It does no I/O, keeps no state
between requests, and knows nothing of the model but its :class:`~mlserve.types.Interface`, which also keeps what a
protocol works out of it once (:meth:`~mlserve.types.Interface.derived`).

The transport calls, once each per request and on the event loop: ``match`` (every request; must be cheap) -> it
answers 405 itself for a verb outside ``methods``, finds the deployment, sets the deadline -> ``decode`` -> predict ->
``encode``. A ``HEAD`` is decoded and answered like the ``GET`` of its target; the transport drops the body. Both must
take time in proportion to what they were given, and raise nothing but what they say here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from typing import Protocol as StructuralType

from mlserve.types import Interface, Rows


class WireRequest(StructuralType):
    """One request to a model, already within the transport's limits; what any carrier's own request offers.

    ``method`` is the verb in capitals, ``query`` the raw text after ``?`` (not percent-decoded; bytes that are not
    UTF-8 as surrogate escapes), ``headers`` case-insensitive, ``body`` the whole content without transfer coding.
    """

    @property
    def method(self) -> str: ...
    @property
    def query(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


@dataclass(slots=True)  # not frozen, as Encoded: made for every request, where freezing costs three times the making
class Call:
    """One decoded request.

    ``rows`` hold one column per input of the interface, auxiliary ones included, in its order, in the field's dtype
    and of shape ``(count, *row)``; rows of a field of shape ``()`` make a column of shape ``(count,)``. ``batch``
    tells a batch of one from a single row. ``cache_key`` is what the caller says its rows' keys are, one per row, or
    ``None``; whoever uses it must check it. A protocol that must remember more derives its own class from this one.
    """

    rows: Rows
    batch: bool
    cache_key: tuple[str, ...] | None = None


@dataclass(slots=True)
class Encoded:
    """The body of a success, but for the service time, which is known last: ``head``, the time in µs, ``tail``.

    Both parts depend on the answer, the interface and ``Call.batch`` alone, so whoever keeps them may answer an equal
    request again with :meth:`body`. A protocol whose bodies tell no time gives the whole body as ``head`` and is not
    ``timed``. ``non_finite`` is how many numbers of the answer are NaN or infinite, as
    :func:`mlserve.values.count_non_finite` counts them.
    """

    head: bytes
    tail: bytes = b""
    non_finite: int = 0
    timed: bool = True

    def body(self, service_time_us: int) -> bytes:
        """The whole body."""
        return b"%b%d%b" % (self.head, service_time_us, self.tail) if self.timed else self.head


class Protocol(StructuralType):
    """A way to ask. Instances hold no state; making one is free."""

    name: ClassVar[str]
    """The label of metrics and logs; the same as in the registry."""
    methods: ClassVar[tuple[str, ...]]
    """Verbs that ``match``'s paths take, for ``Allow``."""
    content_type: ClassVar[str]
    """Of every body that ``encode`` makes."""

    def match(self, path: str) -> str | None:
        """The model id that a percent-decoded path asks for, as it stands there; ``None`` if the path is not ours."""
        ...

    def decode(self, request: WireRequest, interface: Interface, *, max_rows: int) -> Call:
        """The request as rows that this interface takes.

        Raises :class:`~mlserve.errors.BadRequest` (with ``field`` where one input is at fault) and
        :class:`~mlserve.errors.TooLarge` for more than ``max_rows`` rows, before anything of that size is made.
        """
        ...

    def encode(self, answer: Rows, call: Call, interface: Interface) -> Encoded:
        """The answer as the body of a success. ``answer`` has the rows of ``call.rows`` in their order.

        Non-finite numbers are written as the protocol can, and counted. Raises :class:`TypeError` for a value that
        the protocol has no form for: a fault of the model or transformer, so the transport answers that inference
        failed.
        """
        ...
