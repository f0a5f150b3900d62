"""What a closed version leaves in the allocator would stay with the process, a little more with every thread."""

from __future__ import annotations

import platform

import psutil

from mlserve.serving.memory import give_back

BLOCK, COUNT = 4_000, 16_000
FREED = BLOCK * COUNT
GLIBC = platform.libc_ver()[0] == "glibc"


def test_free_pages_go_back_to_the_system() -> None:
    """A block that is still in use keeps all that was freed below it, unless somebody says otherwise."""
    blocks = [bytes(BLOCK) for _ in range(COUNT)]
    kept = blocks[-1]
    del blocks
    process = psutil.Process()
    before = process.memory_info().rss
    give_back()
    given = before - process.memory_info().rss
    assert len(kept) == BLOCK
    assert given > FREED / 2 if GLIBC else given < FREED
