"""mly's users would get other windows, caps and bounds than their files ask for, if these failed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mlserve.batching.policy import MAX_BATCH_ROWS, MAX_QUEUED_ROWS, batch_policy, max_queued_rows
from mlserve.batching.window import BatchPolicy, seconds_to_wait
from mlserve.config.schema import BatchConfig


def config(**members: Any) -> BatchConfig:
    """By the names of the YAML file."""
    return BatchConfig.model_validate(members)


def policy(**members: Any) -> BatchPolicy:
    made = batch_policy(config(**members), max_runs=3)
    assert made is not None
    return made


def test_nothing_said_is_batch_while_busy() -> None:
    """No request waits for company that may never come."""
    assert policy() == BatchPolicy(max_rows=MAX_BATCH_ROWS, max_queued_rows=MAX_QUEUED_ROWS, max_runs=3)
    assert seconds_to_wait(policy(), rows=1, oldest_age_s=0, runs=0) == 0


class TestMaxBatchSize:
    @pytest.mark.parametrize(("given", "rows"), [(64, 64), (1, 1), (0, MAX_BATCH_ROWS)])
    def test_it_caps_a_batch_in_rows(self, given: int, rows: int) -> None:
        """0 is mly's "no bound", which here is the default."""
        assert policy(MaxBatchSize=given).max_rows == rows


class TestWindow:
    @pytest.mark.parametrize(
        ("members", "seconds"),
        [
            ({"BatchWait": 500_000}, 500e-6),
            ({"BatchWait": "2ms"}, 2e-3),
            ({"BatchWait": 0}, 0.0),
            ({"BatchWaitMicros": 700}, 700e-6),
            ({"BatchWait": "2ms", "BatchWaitMicros": 700}, 700e-6),
            ({"BatchWait": -1, "BatchWaitMicros": 700}, 700e-6),
        ],
    )
    def test_its_length(self, members: dict[str, Any], seconds: float) -> None:
        """Bare integers are mly's nanoseconds; the model's own microseconds win."""
        assert policy(**members).wait_s == pytest.approx(seconds)

    @pytest.mark.parametrize("members", [{"BatchWait": -1}, {"BatchWait": "-1ms"}, {"BatchWaitMicros": -1}])
    def test_below_zero_switches_batching_off(self, members: dict[str, Any]) -> None:
        """As mly documents it, whatever else is said."""
        assert batch_policy(config(**members, MaxBatchSize=8, TimeoutAdjustments={"Max": 2}), max_runs=3) is None


class TestTimeoutAdjustments:
    def test_the_window_grows_with_the_runs_in_progress(self) -> None:
        """Increment x running evaluators, up to Max of them; it starts at 0 and takes the place of BatchWait."""
        made = policy(BatchWait="9ms", TimeoutAdjustments={"Increment": "100us", "Max": 2})
        assert made.wait_s == 0
        assert [made.window_s(runs) for runs in range(5)] == pytest.approx([0, 1e-4, 2e-4, 2e-4, 2e-4])

    def test_the_increment_is_mly_s_unless_given(self) -> None:
        assert policy(TimeoutAdjustments={"Max": 1}).window_s(1) == pytest.approx(100e-6)

    def test_a_max_of_zero_leaves_no_window(self) -> None:
        """It is the default of Max."""
        assert policy(BatchWait="9ms", TimeoutAdjustments={"Increment": "1ms"}).window_s(3) == 0

    def test_runs_at_their_bound_wait_for_one_to_end(self) -> None:
        """Max is limited by MaxEvaluatorConcurrency: no window is longer than that many runs make it."""
        made = policy(TimeoutAdjustments={"Increment": "1ms", "Max": 99}, MaxEvaluatorConcurrency=2)
        assert seconds_to_wait(made, rows=1, oldest_age_s=0, runs=1) == pytest.approx(1e-3)
        assert seconds_to_wait(made, rows=1, oldest_age_s=0, runs=2) is None


@pytest.mark.parametrize(("given", "runs"), [(7, 7), (1, 1), (0, 3), (None, 3)])
def test_max_evaluator_concurrency_bounds_parallel_runs(given: int | None, runs: int) -> None:
    """0 and nothing mean what the assembler found: one per processor."""
    assert policy(MaxEvaluatorConcurrency=given).max_runs == runs


@pytest.mark.parametrize(
    ("members", "rows"),
    [
        ({}, MAX_QUEUED_ROWS),
        ({"MaxQueuedRows": 9}, 9),
        ({"MaxQueuedBatches": 4, "MaxBatchSize": 8}, 32),
        ({"MaxQueuedBatches": 4}, 4 * MAX_BATCH_ROWS),
        ({"MaxQueuedBatches": 0, "MaxBatchSize": 8}, MAX_QUEUED_ROWS),
        ({"MaxQueuedRows": 9, "MaxQueuedBatches": 4, "MaxBatchSize": 8}, 9),
    ],
)
def test_the_queue_is_bounded_in_rows(members: dict[str, Any], rows: int) -> None:
    """Waiting batches of mly count as full ones, so that its files shed no earlier here than there."""
    assert max_queued_rows(config(**members)) == rows
    assert policy(**members).max_queued_rows == rows


def test_verbose_changes_nothing() -> None:
    """It is told as having no effect."""
    assert policy(Verbose={"ID": True}) == policy()


def test_durations_of_the_schema_are_exact() -> None:
    """A window of 500 us that became 0 would batch nothing."""
    assert config(BatchWait=500_000).batch_wait == timedelta(microseconds=500)
