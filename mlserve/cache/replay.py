"""Answers to requests whose very bytes came before: found without decoding them, sent without encoding again.

A recording is an entry of the memory tier like any other: charged to its size, dropped for space. It names the entry
of the row that it answers, and counts for nothing once that entry is gone or holds another answer, so it can never
outlive what it repeats.
Only requests for one row that memory already answered are recorded: the second time is what makes a habit.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import Final

from mlserve.contracts.memory import Memory

_START: Final = Struct("<qII")
"""A recording starts with the hash of the row's entry and the lengths of key and head; key, head and tail follow."""


@dataclass(slots=True)
class Recording:
    """The two parts of a body around its service time, and the row they answer: its key and remaining life."""

    head: bytes
    tail: bytes
    key: bytes
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
        digest, key_length, head_length = _START.unpack_from(value)
        key_end = _START.size + key_length
        key = value[_START.size : key_end]
        entry = self._memory.use(key)
        if entry is None or hash(entry[0]) != digest:
            return None
        head_end = key_end + head_length
        return Recording(value[key_end:head_end], value[head_end:], key, entry[1])

    def record(self, request: bytes, key: bytes, head: bytes, tail: bytes) -> None:
        """Keep the answer to ``request``, which the entry under ``key`` gave."""
        entry = self._memory.peek(key)
        if entry is None:
            return
        answer, ttl_s = entry
        # Python's own hash tells an entry from the one that replaces it (``no-cache``): it never leaves the process.
        start = _START.pack(hash(answer), len(key), len(head))
        self._memory.put(self._prefix + request, b"".join((start, key, head, tail)), ttl_s)
