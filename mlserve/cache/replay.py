"""Answers to requests whose very bytes came before: found without decoding them, sent without encoding again.

A recording is an entry of the memory tier like any other: charged to its size, dropped for space. It names the entry
of the row that it answers, and counts for nothing once that entry is gone or holds another answer, so it can never
outlive what it repeats.
Only requests for one row that memory already answered are recorded: the second time is what makes a habit.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from mlserve.contracts.memory import Memory

_LENGTH: Final = 4
_DIGEST: Final = 8


@dataclass(slots=True)
class Recording:
    """The two parts of a body around its service time, and the row's remaining life in seconds."""

    head: bytes
    tail: bytes
    ttl_s: float


class Replay:
    """One version's recordings. On the event loop only."""

    def __init__(self, memory: Memory, prefix: bytes) -> None:
        self._memory = memory
        # Keys of rows begin with the version's prefix: recordings stand apart from them under a prefix of their own.
        self._prefix = blake2b(prefix, digest_size=len(prefix), person=b"recordings").digest()

    def recall(self, request: bytes) -> Recording | None:
        """What was recorded for these bytes, if the row's own entry is still there; it then counts as used."""
        value = self._memory.get(self._prefix + request)
        if value is None:
            return None
        key_start = _DIGEST + _LENGTH
        key_end = key_start + int.from_bytes(value[_DIGEST:key_start], "little")
        key = value[key_start:key_end]
        answer = self._memory.get(key)
        if answer is None or _digest(answer) != value[:_DIGEST]:
            return None
        entry = self._memory.peek(key)
        head_start = key_end + _LENGTH
        head_end = head_start + int.from_bytes(value[key_end:head_start], "little")
        return Recording(value[head_start:head_end], value[head_end:], entry[1] if entry else 0.0)

    def record(self, request: bytes, key: bytes, head: bytes, tail: bytes) -> None:
        """Keep the answer to ``request``, which the entry under ``key`` gave."""
        entry = self._memory.peek(key)
        if entry is None:
            return
        answer, ttl_s = entry
        lengths = [len(part).to_bytes(_LENGTH, "little") for part in (key, head)]
        parts = (_digest(answer), lengths[0], key, lengths[1], head, tail)
        self._memory.put(self._prefix + request, b"".join(parts), ttl_s)


def _digest(answer: bytes) -> bytes:
    """Tells an entry from the one that replaces it (``no-cache``). Python's own hash: it never leaves the process."""
    return hash(answer).to_bytes(_DIGEST, "little", signed=True)
