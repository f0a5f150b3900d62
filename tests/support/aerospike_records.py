"""What a node of Aerospike keeps, and what it answers to a request about one record."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import time
from typing import Final

from tests.support import aerospike_frames as wire
from tests.support.aerospike_frames import Answer, Op, Request

OK, NOT_FOUND, GENERATION, BAD_REQUEST, EXISTS, TOO_BIG, NO_NAMESPACE, FORBIDDEN = 0, 2, 3, 4, 5, 13, 20, 22
MAX_TTL_S: Final = 315_360_000
NEVER, KEEP = 0xFFFFFFFF, 0xFFFFFFFE
OVERHEAD_BYTES: Final = 64
"""What a record takes beside its bins, about."""


@dataclass(slots=True)
class Kept:
    """One record. ``bins``: name to particle type and value; ``user_key``: type byte and key, if it was sent."""

    set: bytes
    bins: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    user_key: bytes | None = None
    generation: int = 0
    expiry: int = 0

    @property
    def size(self) -> int:
        return OVERHEAD_BYTES + sum(len(name) + len(value) for name, (_, value) in self.bins.items())


class Records:
    """The records of a node, by namespace and digest. Calls come from many threads.

    ``clock`` is Unix time; ``expiring`` is False for a node with ``nsup-period 0``, which refuses lives that end.
    """

    def __init__(self, namespaces: Iterable[str], clock: Callable[[], float] = time) -> None:
        self.clock = clock
        self.expiring = True
        self.max_record_bytes = 1024 * 1024
        self._kept: dict[str, dict[bytes, Kept]] = {name: {} for name in namespaces}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return sum(map(len, self._kept.values()))

    @property
    def namespaces(self) -> list[str]:
        return list(self._kept)

    def at(self, namespace: str, digest: bytes) -> Kept | None:
        """The record itself, if its time is not up."""
        kept = self._kept[namespace].get(digest)
        if kept is not None and kept.expiry and kept.expiry <= self.clock() - wire.EPOCH:
            del self._kept[namespace][digest]
            return None
        return kept

    def keep(self, namespace: str, digest: bytes, kept: Kept) -> None:
        """As somebody else left it: whatever a client of another language may write."""
        with self._lock:
            self._kept[namespace][digest] = kept

    def answer(self, request: Request) -> Answer:
        """Does what ``request`` says."""
        with self._lock:
            if request.namespace not in self._kept:
                result = Answer(NO_NAMESPACE)
            elif not request.digest or any(op.code not in (wire.READ, wire.WRITE, wire.TOUCH) for op in request.ops):
                result = Answer(BAD_REQUEST)
            elif request.info2 & wire.WRITES:
                result = self._write(request)
            else:
                result = self._read(request, self.at(request.namespace, request.digest))
        return result

    def _read(self, request: Request, kept: Kept | None) -> Answer:
        if kept is None:
            return Answer(NOT_FOUND)
        if request.info1 & wire.NO_BINS:
            names: Iterable[bytes] = ()
        elif request.info1 & wire.ALL_BINS:
            names = kept.bins
        else:
            names = [op.name for op in request.ops if op.code == wire.READ]
        ops = [Op(wire.READ, name, *kept.bins[name]) for name in names if name in kept.bins]
        return Answer(OK, kept.generation, kept.expiry, ops)

    def _write(self, request: Request) -> Answer:
        kept = self.at(request.namespace, request.digest)
        refusal = self._refusal(request, kept)
        if refusal is not None:
            return refusal
        space = self._kept[request.namespace]
        if request.info2 & wire.DELETES:
            del space[request.digest]
            return Answer(OK)
        changed = self._changed(request, kept)
        if changed.size > self.max_record_bytes:
            return Answer(TOO_BIG)
        if not changed.bins:
            space.pop(request.digest, None)
            return Answer(OK, changed.generation)
        space[request.digest] = changed
        ops = [Op(wire.WRITE, op.name) for op in request.ops if request.info2 & wire.EVERY_OP and op.code == wire.WRITE]
        if request.info1 & wire.READS:
            ops.extend(self._read(request, changed).ops)
        return Answer(OK, changed.generation, changed.expiry, ops)

    def _refusal(self, request: Request, kept: Kept | None) -> Answer | None:
        touches = any(op.code == wire.TOUCH for op in request.ops)
        needs_one = request.info2 & wire.DELETES or request.info3 & (wire.UPDATE_ONLY | wire.REPLACE_ONLY) or touches
        if kept is None and needs_one:
            return Answer(NOT_FOUND)
        if kept is not None and request.info2 & wire.CREATE_ONLY:
            return Answer(EXISTS, kept.generation, kept.expiry)
        if kept is not None and request.info2 & wire.GENERATION_EQUAL and request.generation != kept.generation:
            return Answer(GENERATION, kept.generation, kept.expiry)
        if request.info2 & wire.DELETES or request.ttl in (NEVER, KEEP):
            return None
        if not request.ops or request.ttl > MAX_TTL_S:
            return Answer(BAD_REQUEST)
        return Answer(FORBIDDEN) if request.ttl and not self.expiring else None

    def _changed(self, request: Request, kept: Kept | None) -> Kept:
        replaces = request.info3 & (wire.CREATE_OR_REPLACE | wire.REPLACE_ONLY)
        bins = {} if kept is None or replaces else dict(kept.bins)
        for op in request.ops:
            if op.code == wire.WRITE and op.kind:
                bins[op.name] = (op.kind, op.value)
            elif op.code == wire.WRITE:
                bins.pop(op.name, None)
        return Kept(
            request.fields.get(wire.SET, b""),
            bins,
            request.fields.get(wire.USER_KEY, kept.user_key if kept else None),
            kept.generation + 1 if kept else 1,
            self._expiry(request.ttl, kept),
        )

    def _expiry(self, ttl: int, kept: Kept | None) -> int:
        if ttl == KEEP:
            return kept.expiry if kept else 0
        if ttl in (0, NEVER):
            return 0
        return int(self.clock()) - wire.EPOCH + ttl
