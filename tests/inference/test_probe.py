"""A slow model would run on the loop, or loading would take minutes, if these failed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from mlserve.inference import probe
from mlserve.inference.feed import Feed
from mlserve.inference.on_loop import LIMIT_S
from mlserve.inference.probe import measure_inline_rows
from mlserve.types import Array, Rows, Serving
from tests.support.models import FakeModel, double


class Clock:
    """Time that passes only while the model runs: ``seconds_per_row`` of it."""

    def __init__(self, seconds_per_row: float) -> None:
        self.now = 0.0
        self._seconds_per_row = seconds_per_row

    def __call__(self) -> float:
        return self.now

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.now += self._seconds_per_row * len(inputs["x"])
        return double(inputs)


def sample(count: int) -> Rows:
    return Rows({"x": np.zeros(count, np.float32)}, count)


def measured(monkeypatch: pytest.MonkeyPatch, seconds_per_row: float, *, loop_safe: bool = True) -> tuple[int, int]:
    clock = Clock(seconds_per_row)
    monkeypatch.setattr(probe, "perf_counter", clock)
    model = FakeModel(clock.run, loop_safe=loop_safe)
    return measure_inline_rows(model, Feed(model.signature, Serving.ROWS), sample), len(model.calls)


@pytest.mark.parametrize(
    ("seconds_per_row", "rows"),
    [(LIMIT_S * 1.01, 0), (LIMIT_S * 0.99, 1), (LIMIT_S / 8.1, 8), (LIMIT_S / 65, 64)],
)
def test_the_largest_size_that_is_quick_enough(
    monkeypatch: pytest.MonkeyPatch, seconds_per_row: float, rows: int
) -> None:
    """Larger requests than were measured leave the loop."""
    assert measured(monkeypatch, seconds_per_row)[0] == rows


def test_neighbours_that_interrupt_most_runs_do_not_make_a_model_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine at load would cost every run its way to a thread, until the next version."""
    runs = 0

    def seconds(inputs: Mapping[str, Array]) -> dict[str, Array]:
        nonlocal runs
        runs += 1
        clock.now += LIMIT_S / 10 if runs % 3 == 0 else LIMIT_S * 10
        return double(inputs)

    clock = Clock(0)
    monkeypatch.setattr(probe, "perf_counter", clock)
    model = FakeModel(seconds, loop_safe=True)
    assert measure_inline_rows(model, Feed(model.signature, Serving.ROWS), sample) == 64


def test_a_model_that_may_block_never_stays_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """However quick it is now: its next run may wait for a lock or a network."""
    assert measured(monkeypatch, 0.0, loop_safe=False) == (0, 0)


def test_a_slow_model_is_not_run_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run of it is time in which the old version serves on."""
    assert measured(monkeypatch, 2.0) == (0, 2)


def test_one_row_is_all_that_is_measured_where_a_request_is_one_run() -> None:
    """``sample`` cannot make several."""
    model = FakeModel(loop_safe=True)
    assert measure_inline_rows(model, Feed(model.signature, Serving.WHOLE), lambda count: sample(1)) in (0, 1)
    assert {len(np.atleast_1d(call["x"])) for call in model.calls} == {1}
