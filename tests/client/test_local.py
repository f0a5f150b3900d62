"""What a client keeps is bounded, ends in time, and is never changed by those who hold it."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlserve.client.local import MAX_ANSWERS, MAX_REQUEST_BYTES, Local
from mlserve.stores.memory import MemoryStore
from mlserve.types import Rows


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def local(clock: Clock, **settings: Any) -> Local:
    memories = (MemoryStore(1 << 20, clock=clock), MemoryStore(1 << 16, clock=clock))
    return Local(*memories, clock=clock, **{"ttl_s": 60.0, "retry_s": 5.0} | settings)


def rows(*values: float) -> Rows:
    return Rows({"y": np.array(values, np.float32)}, len(values))


def test_rows_are_found_by_key_until_their_time_is_up() -> None:
    clock = Clock()
    kept = local(clock)
    kept.store([b"a", b"b"], rows(1, 2))
    part, missing = kept.look_up([b"b", b"c", b"a"])
    assert part is not None
    assert (part[0].columns["y"].tolist(), list(part[1]), list(missing)) == ([2.0, 1.0], [0, 2], [1])
    clock.now += 60
    assert kept.look_up([b"a"]) == (None, range(1))


def test_rows_from_a_tier_live_no_longer_than_they_would_there() -> None:
    clock = Clock()
    kept = local(clock)
    kept.store([b"a", b"b"], rows(1, 2), [10.0, 1000.0])
    clock.now += 11
    part, missing = kept.look_up([b"a", b"b"])
    assert part is not None
    assert (list(part[1]), list(missing)) == ([1], [0])


def test_an_answer_is_repeated_to_the_same_words() -> None:
    """As long as its row would have lived; and what a caller does to its copy is the caller's business."""
    clock = Clock()
    kept = local(clock)
    kept.store([b"a"], rows(1))
    kept.remember(b"{x}", b"a", {"y": 1.0})
    first = kept.recall(b"{x}")
    assert first == {"y": 1.0}
    first.clear()
    assert kept.recall(b"{x}") == {"y": 1.0}
    assert kept.recall(b"{z}") is None
    clock.now += 60
    assert kept.recall(b"{x}") is None


def test_what_is_replaced_is_not_repeated() -> None:
    """``no-cache`` asks anew because it does not trust what there is."""
    kept = local(Clock())
    kept.store([b"a"], rows(1))
    kept.remember(b"{x}", b"a", {"y": 1.0})
    kept.store([b"b"], rows(5))
    assert kept.recall(b"{x}") == {"y": 1.0}
    kept.store([b"a"], rows(2))
    assert kept.recall(b"{x}") is None


def test_only_small_plain_answers_are_repeated_and_only_so_many() -> None:
    kept = local(Clock())
    kept.store([b"a"], rows(1))
    kept.remember(b"{list}", b"a", {"y": [1]})
    kept.remember(b"x" * (MAX_REQUEST_BYTES + 1), b"a", {"y": 1})
    kept.remember(b"{gone}", b"no such row", {"y": 1})
    assert [kept.recall(it) for it in (b"{list}", b"x" * (MAX_REQUEST_BYTES + 1), b"{gone}")] == [None] * 3
    for number in range(MAX_ANSWERS + 1):
        kept.remember(b"%d" % number, b"a", {"y": number})
    assert kept.recall(b"0") is None
    assert kept.recall(b"1") == {"y": 1}


def test_absence_is_believed_for_a_while() -> None:
    """Else every call that misses would ask the tiers again for what a server has yet to write."""
    clock = Clock()
    kept = local(clock)
    kept.missed([b"a"])
    assert kept.not_absent([b"a", b"b"], [0, 1]) == [1]
    clock.now += 5
    assert kept.not_absent([b"a", b"b"], [0, 1]) == [0, 1]


def test_an_answer_without_a_form_is_not_kept() -> None:
    column = np.empty(1, object)
    column[0] = object()
    kept = local(Clock())
    kept.store([b"a"], Rows({"y": column}, 1))
    assert kept.look_up([b"a"])[0] is None
