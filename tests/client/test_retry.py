"""Asking again too eagerly would finish off a busy server; not at all would fail what a moment later works."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.client.retry import FIRST_PAUSE_S, LONGEST_PAUSE_S, MOST_INTERRUPTIONS, SPREAD, pause_before_retry
from mlserve.errors import BadAnswer, ClientError, Interrupted, RemoteError, TimedOut, Unreachable


@pytest.mark.parametrize(
    "error",
    [
        Unreachable("refused"),
        TimedOut("late"),
        BadAnswer("garbage"),
        *(RemoteError("no", status=status) for status in (400, 404, 413, 500, 502, 504)),
    ],
)
def test_what_will_not_change_is_not_asked_again(error: ClientError) -> None:
    assert pause_before_retry(error, 0, 0.0) is None


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_when_it_said(status: int) -> None:
    error = RemoteError("later", status=status, retry_after_s=7.0)
    assert pause_before_retry(error, 0, 0.0) == 7.0
    assert pause_before_retry(error, 99, 0.0) == 7.0


def test_without_a_word_pauses_double_up_to_a_bound() -> None:
    error = RemoteError("later", status=429)
    pauses = [pause_before_retry(error, attempt, 0.0) for attempt in range(4)]
    assert pauses == [FIRST_PAUSE_S * factor for factor in (1, 2, 4, 8)]
    assert pause_before_retry(error, 10**9, 0.0) == LONGEST_PAUSE_S


def test_a_lost_connection_is_tried_a_few_times_only() -> None:
    """A request that brings the server down must not be sent for ever."""
    tries = [pause_before_retry(Interrupted("cut"), attempt, 0.0) is not None for attempt in range(5)]
    assert tries == [attempt < MOST_INTERRUPTIONS - 1 for attempt in range(5)]


@given(st.floats(0, 1e5), st.integers(0, 10**6), st.floats(0, 1))
def test_no_pause_is_shorter_than_the_server_asked_nor_much_longer(least: float, attempt: int, chance: float) -> None:
    pause = pause_before_retry(RemoteError("", status=503, retry_after_s=least), attempt, chance)
    assert pause is not None
    assert max(least, FIRST_PAUSE_S) <= pause <= max(least, LONGEST_PAUSE_S) * (1 + SPREAD)
