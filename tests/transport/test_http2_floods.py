"""Counting against a clock of our own: attacks end, and clients that are merely busy never notice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlserve.transport import http2_floods as floods
from mlserve.transport.http2_floods import Allowance, Floods
from mlserve.transport.http2_frames import Code, ConnectionFault


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def spent(spend: Callable[[], None], at_most: int = 100_000) -> int:
    """How often it goes well."""
    for count in range(at_most):
        try:
            spend()
        except ConnectionFault as fault:
            return count if fault.code is Code.ENHANCE_YOUR_CALM else -1
    raise AssertionError(f"nothing stopped {at_most} of them")


def test_an_allowance_is_used_up_and_comes_back_with_time() -> None:
    """Without an end it stops nobody, without time it stops everybody in the long run."""
    clock = Clock()
    allowance = Allowance(10, 2, clock)
    assert [allowance.spend(1) for _ in range(11)] == [True] * 10 + [False]
    clock.now += 3
    assert [allowance.spend(1) for _ in range(6)] == [True] * 5 + [False]
    clock.now += 1000
    assert sum(allowance.spend(1) for _ in range(100)) == 10, "time gives back no more than there was"


def test_resets_end_and_answers_earn_them_back() -> None:
    """Rapid reset asks for work and takes no answer; a client with short deadlines takes some."""
    clock = Clock()
    counted = Floods(clock)
    assert spent(counted.reset) == floods.RESETS
    counted = Floods(clock)
    for _ in range(10 * floods.RESETS):
        counted.answered(100)
        counted.reset()


def test_chatter_ends_and_answers_earn_it_back() -> None:
    """Every answer is read, and every read may be told, on its stream and on the connection."""
    clock = Clock()
    counted = Floods(clock)
    assert spent(counted.chatter) == floods.CHATTER
    counted = Floods(clock)
    size = 10 * 2**20
    for _ in range(10):
        for _ in range(2 * size // 4096):
            counted.chatter()
            counted.answered(2048)


def test_a_large_settings_frame_counts_for_what_it_holds() -> None:
    """One frame of two thousand settings is work for two thousand."""
    with pytest.raises(ConnectionFault):
        Floods(Clock()).chatter(floods.CHATTER + 1)


def test_what_is_spent_of_one_is_not_spent_of_the_other() -> None:
    """A client that pings much may still cancel."""
    counted = Floods(Clock())
    spent(counted.chatter)
    counted.reset()
