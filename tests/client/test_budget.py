"""Tries again must not multiply what a struggling server has to do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlserve.client.budget import RetryBudget


@given(st.integers(0, 500))
def test_tries_are_a_share_of_the_calls_beyond_the_reserve(calls: int) -> None:
    budget = RetryBudget(0.25, 10)
    taken = 0
    for _ in range(calls):
        budget.called()
        taken += budget.take()
    assert taken <= 10 + calls * 0.25


def test_what_is_saved_is_bounded() -> None:
    budget = RetryBudget(0.5, 3)
    for _ in range(100):
        budget.called()
    assert [budget.take() for _ in range(5)] == [True, True, True, False, False]
    budget.called()
    budget.called()
    assert (budget.take(), budget.take()) == (True, False)


def test_without_a_share_there_is_no_bound() -> None:
    budget = RetryBudget(None)
    assert all(budget.take() for _ in range(1000))
    budget.called()
    assert budget.take()
