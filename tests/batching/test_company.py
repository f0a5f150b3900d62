"""Requests would run alone that could share a run, or wait for others that never come, if these failed."""

from __future__ import annotations

from mlserve.batching.company import Company


def steps(company: Company, *requests: int) -> list[list[bool]]:
    """For each step with so many requests, who of them finds or expects company."""
    told = []
    for count in requests:
        told.append([company.came() for _ in range(count)])
        company.step_ended()
    return told


def test_who_always_comes_alone_goes_at_once_from_the_second_time_on() -> None:
    """Nothing is known of the first."""
    assert steps(Company(), 1, 1, 1) == [[True], [False], [False]]


def test_those_who_come_together_wait_for_one_another() -> None:
    """Also the first of them, once the step before has shown that others follow."""
    assert steps(Company(), 3, 3) == [[True] * 3, [True] * 3]


def test_a_wrong_guess_costs_one_run_or_one_step() -> None:
    """Load comes and goes: the rule follows in the step after."""
    told = steps(Company(), 1, 4, 4, 1, 1)
    assert told[1:] == [[False, True, True, True], [True] * 4, [True], [False]]


def test_a_step_without_requests_says_nothing() -> None:
    """A run that ends in between is no sign of who comes next."""
    assert steps(Company(), 4, 0, 0, 1) == [[True] * 4, [], [], [True]]
