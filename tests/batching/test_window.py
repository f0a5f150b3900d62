"""When a line goes, in numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlserve.batching.window import BatchPolicy, seconds_to_wait

BUSY = BatchPolicy(max_rows=8, max_queued_rows=100, max_runs=2)
WINDOW = replace(BUSY, wait_s=0.005)
ADJUSTED = replace(BUSY, max_runs=10, wait_s=9.0, increment_s=0.001, increment_max=3)


@pytest.mark.parametrize(
    ("policy", "rows", "age", "runs", "expected"),
    [
        pytest.param(BUSY, 0, 0.0, 0, None, id="nothing waits"),
        pytest.param(BUSY, 1, 0.0, 0, 0.0, id="an idle runner takes a row at once"),
        pytest.param(BUSY, 1, 0.0, 1, 0.0, id="one runner of two is idle"),
        pytest.param(BUSY, 1, 5.0, 2, None, id="all are busy, however long the row has waited"),
        pytest.param(BUSY, 800, 5.0, 2, None, id="all are busy, however many wait"),
        pytest.param(WINDOW, 1, 0.0, 0, 0.005, id="the window opens with the first row"),
        pytest.param(WINDOW, 7, 0.002, 0, 0.003, id="what is left of the window counts from the first row"),
        pytest.param(WINDOW, 7, 0.005, 0, 0.0, id="the window has closed"),
        pytest.param(WINDOW, 7, 0.9, 1, 0.0, id="the window closed long ago"),
        pytest.param(WINDOW, 8, 0.0, 0, 0.0, id="a full batch does not wait"),
        pytest.param(WINDOW, 8, 0.0, 2, None, id="a full batch waits for a runner"),
        pytest.param(ADJUSTED, 1, 0.0, 0, 0.0, id="adjusted: nothing runs, nothing to wait for"),
        pytest.param(ADJUSTED, 1, 0.0, 2, 0.002, id="adjusted: the increment per run"),
        pytest.param(ADJUSTED, 1, 0.0, 9, 0.003, id="adjusted: up to the maximum"),
        pytest.param(ADJUSTED, 1, 0.001, 2, 0.001, id="adjusted: less what has passed"),
    ],
)
def test_seconds_to_wait(policy: BatchPolicy, rows: int, age: float, runs: int, expected: float | None) -> None:
    """Rows would wait for nothing, or a batch would leave before its time."""
    waits = seconds_to_wait(policy, rows=rows, oldest_age_s=age, runs=runs)
    assert waits == (None if expected is None else pytest.approx(expected, abs=1e-12))


def test_adjustments_take_the_place_of_the_window() -> None:
    """mly: the window starts at 0 and grows with the runs, whatever BatchWait says."""
    assert [ADJUSTED.window_s(runs) for runs in range(5)] == pytest.approx([0, 0.001, 0.002, 0.003, 0.003])
    assert WINDOW.window_s(7) == 0.005
