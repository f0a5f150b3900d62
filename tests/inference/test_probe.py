"""A slow model would run on the loop, or loading would take minutes, if these failed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from mlserve.inference import probe
from mlserve.inference.feed import Feed, Misaligned
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


def measured(
    monkeypatch: pytest.MonkeyPatch, seconds_per_row: float, *, most_rows: int = 512, loop_safe: bool = True
) -> tuple[int, int]:
    clock = Clock(seconds_per_row)
    monkeypatch.setattr(probe, "perf_counter", clock)
    model = FakeModel(clock.run, loop_safe=loop_safe)
    rows = measure_inline_rows(model, Feed(model.signature, Serving.ROWS), sample, most_rows)
    return rows, len(model.calls)


@pytest.mark.parametrize(
    ("seconds_per_row", "rows"),
    [
        (LIMIT_S * 1.01, 0),
        (LIMIT_S * 0.99, 1),
        (LIMIT_S / 8.1, 8),
        (LIMIT_S / 65, 64),
        (LIMIT_S / 511, 64),
        (LIMIT_S / 513, 128),
        (LIMIT_S / 2049, 512),
    ],
)
def test_the_largest_size_that_is_quick_enough(
    monkeypatch: pytest.MonkeyPatch, seconds_per_row: float, rows: int
) -> None:
    """Larger requests than were measured leave the loop."""
    assert measured(monkeypatch, seconds_per_row)[0] == rows


@pytest.mark.parametrize(("most_rows", "rows"), [(1, 64), (64, 64), (65, 65), (128, 128), (700, 700), (4096, 4096)])
def test_a_model_that_is_quick_enough_is_on_the_loop_up_to_its_largest_run(
    monkeypatch: pytest.MonkeyPatch, most_rows: int, rows: int
) -> None:
    """The way to a thread would cost a run of a thousand vectors as much as the run; one of more never comes."""
    assert measured(monkeypatch, 0.0, most_rows=most_rows)[0] == rows


@pytest.mark.parametrize("seconds_per_row", [0.0, LIMIT_S / 513, LIMIT_S / 8.1, 2.0])
def test_what_all_measurements_take_has_a_bound(monkeypatch: pytest.MonkeyPatch, seconds_per_row: float) -> None:
    """While a version is measured, the one before it serves on."""
    largest_runs: list[int] = []

    def sized(count: int) -> Rows:
        largest_runs.append(count)
        return sample(count)

    clock = Clock(seconds_per_row)
    monkeypatch.setattr(probe, "perf_counter", clock)
    model = FakeModel(clock.run, loop_safe=True)
    inline = measure_inline_rows(model, Feed(model.signature, Serving.ROWS), sized, 2**20)
    assert len(model.calls) <= 6 * len(largest_runs)
    assert max(largest_runs) <= max(8 * inline, 1) or inline == 2**20
    assert len(largest_runs) <= 3 + 14


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
    assert measure_inline_rows(model, Feed(model.signature, Serving.ROWS), sample, 64) == 64


def test_a_model_that_may_block_never_stays_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """However quick it is now: its next run may wait for a lock or a network."""
    assert measured(monkeypatch, 0.0, loop_safe=False) == (0, 0)


def test_a_slow_model_is_not_run_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run of it is time in which the old version serves on."""
    assert measured(monkeypatch, 2.0) == (0, 2)


def test_more_rows_than_a_model_takes_end_the_measuring() -> None:
    """What was found out about its rows before would be forgotten: that they depend on one another, say."""

    def up_to_a_hundred(inputs: Mapping[str, Array]) -> dict[str, Array]:
        if len(inputs["x"]) > 100:
            raise ValueError("too many")
        return double(inputs)

    model = FakeModel(up_to_a_hundred, loop_safe=True)
    assert measure_inline_rows(model, Feed(model.signature, Serving.ROWS), sample, 512) <= 64


def test_rows_that_do_not_line_up_are_told() -> None:
    """The model would be served by rows, and answer each caller with those of others."""
    model = FakeModel(lambda inputs: {"y": inputs["x"][:8]}, loop_safe=True)
    with pytest.raises(Misaligned):
        measure_inline_rows(model, Feed(model.signature, Serving.ROWS), sample, 512)


def test_one_row_is_all_that_is_measured_where_a_request_is_one_run() -> None:
    """``sample`` cannot make several."""
    model = FakeModel(loop_safe=True)
    assert measure_inline_rows(model, Feed(model.signature, Serving.WHOLE), lambda count: sample(1), 512) in (0, 1)
    assert {len(np.atleast_1d(call["x"])) for call in model.calls} == {1}
