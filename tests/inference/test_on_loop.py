"""A model that turned slow would hold the event loop up, or a quick one pay for threads for ever, if these failed."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.inference.on_loop import FIRST_PAUSE_S, HEAVIEST, LIMIT_S, LONGEST_PAUSE_S, MOST_OWED, OnLoop

QUICK = LIMIT_S / 2
SLOW = LIMIT_S * 1.5
HANGS = LIMIT_S * 1e5


class Bench:
    """A judge with a clock that stands still until a test moves it."""

    def __init__(self, measured_rows: int = 64) -> None:
        self.now = 1000.0
        self.left = 0
        self.wall = self.processor = 0.0
        self.judge = OnLoop(
            "m",
            measured_rows,
            on_left=self._leave,
            clock=lambda: self.now,
            wall=lambda: self.wall,
            processor=lambda: self.processor,
        )

    def _leave(self) -> None:
        self.left += 1

    def run(self, seconds: float, rows: int = 1, times: int = 1, interrupted_s: float = 0.0) -> int:
        """Runs on the loop while it takes them, each interrupted for so long; how many it took."""
        for done in range(times):
            if not self.judge.takes(rows):
                return done
            stopwatch = self.judge.stopwatch
            start = stopwatch()
            self.processor += seconds
            self.wall += seconds + interrupted_s
            self.judge.ran(stopwatch() - start, rows)
        return times


def test_a_quick_model_stays_for_good() -> None:
    """Up to the size that was measured, and nothing larger."""
    bench = Bench(8)
    assert bench.run(QUICK, rows=8, times=1000) == 1000
    assert not bench.judge.takes(9)
    assert bench.left == 0


def test_a_model_that_was_never_quick_is_never_tried() -> None:
    """It may block: to try it would be the harm."""
    bench = Bench(0)
    bench.now = 1e9
    assert not bench.judge.takes(1)


def test_a_model_that_hangs_is_gone_after_a_few_runs() -> None:
    """Each of them stops everybody else."""
    assert Bench().run(HANGS, times=1000) == MOST_OWED // HEAVIEST


def test_one_that_is_a_little_slow_is_gone_a_little_later() -> None:
    """Its size is what was measured wrong, by half or so."""
    assert Bench().run(SLOW, times=1000) == MOST_OWED


def test_runs_that_are_interrupted_stay() -> None:
    """On a crowded machine others take the processor in the middle of a run; threads would not help against that."""
    bench = Bench()
    assert bench.run(QUICK, times=1000, interrupted_s=1.0) == 1000
    assert bench.left == 0


def test_runs_that_are_slow_now_and_then_stay() -> None:
    """A collection of garbage falls into a run of a quick model as into any other piece of work."""
    bench = Bench()
    for _ in range(500):
        assert bench.run(HANGS) == 1
        assert bench.run(QUICK, times=HEAVIEST) == HEAVIEST
    assert bench.left == 0


def test_the_dear_stopwatch_is_read_only_while_something_is_owed() -> None:
    """Asking the system for a thread's processor time would cost every run a microsecond."""
    bench = Bench()
    assert bench.judge.stopwatch() == bench.wall
    bench.wall, bench.processor = 1.0, 2.0
    bench.run(SLOW)
    assert bench.judge.stopwatch() == bench.processor
    bench.run(QUICK)
    assert bench.judge.stopwatch() == bench.wall


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(1, 64)), max_size=400))
def test_no_run_leaves_while_the_mean_is_within_the_limit(runs: list[tuple[float, int]]) -> None:
    """In whatever order they come: as many quick ones as slow ones owe, and the loop has lost nothing."""
    bench = Bench()
    owed = 0
    for times, rows in runs:
        if not bench.judge.takes(rows):
            break
        bench.judge.ran(times * LIMIT_S, rows)
        owed += min(int(times), HEAVIEST) if times * LIMIT_S > LIMIT_S else 0
    assert bench.left == 0 or owed >= MOST_OWED


class TestSizes:
    def test_only_what_is_slow_leaves(self) -> None:
        """Requests of a row are still quick when those of fifty are not."""
        bench = Bench()
        bench.run(HANGS, rows=50, times=100)
        assert not bench.judge.takes(50)
        assert not bench.judge.takes(26)
        assert bench.judge.takes(25)
        assert bench.left == 1

    def test_single_rows_leave_altogether(self) -> None:
        """There is nothing smaller."""
        bench = Bench()
        bench.run(HANGS, rows=1, times=100)
        assert not bench.judge.takes(1)

    def test_quick_runs_of_fewer_rows_do_not_pay_for_slow_ones_of_many(self) -> None:
        """A flood of single rows would keep large ones on the loop, each of them a standstill."""
        bench = Bench()
        for _ in range(MOST_OWED // HEAVIEST):
            assert bench.run(HANGS, rows=50) == 1
            bench.run(QUICK, rows=1, times=100)
        assert bench.run(QUICK, rows=50) == 0

    def test_quick_runs_of_more_rows_do(self) -> None:
        """What is quick with fifty is no slower with one: it was the machine."""
        bench = Bench()
        for _ in range(100):
            assert bench.run(HANGS, rows=1) == 1
            assert bench.run(QUICK, rows=50, times=HEAVIEST) == HEAVIEST
        assert bench.left == 0


class TestComingBack:
    def test_it_is_tried_again_after_a_while(self) -> None:
        """The neighbour that took the processor may be gone."""
        bench = Bench()
        bench.run(HANGS, times=100)
        bench.now += FIRST_PAUSE_S - 0.1
        assert bench.run(QUICK) == 0
        bench.now += 0.2
        assert bench.run(QUICK, times=1000) == 1000
        assert bench.judge.takes(64)

    def test_each_time_later_up_to_an_hour(self) -> None:
        """A model that is slow for good holds the loop up for four runs, less and less often."""
        bench = Bench()
        pauses = []
        for _ in range(10):
            assert bench.run(HANGS, times=100) == MOST_OWED // HEAVIEST
            since = bench.now
            while not bench.judge.takes(1):
                bench.now += FIRST_PAUSE_S
            pauses.append(bench.now - since)
        assert pauses[:4] == [FIRST_PAUSE_S * 2**turn for turn in range(4)]
        assert pauses[-1] == LONGEST_PAUSE_S

    def test_what_it_owed_is_forgiven(self) -> None:
        """The first interruption would send it away again."""
        bench = Bench()
        bench.run(HANGS, times=100)
        bench.now += FIRST_PAUSE_S
        assert bench.run(HANGS) == 1
        assert bench.run(QUICK) == 1


def test_the_log_says_what_happened_once(caplog: pytest.LogCaptureFixture) -> None:
    """An operator sees which model it is, how slow, and that nothing needs doing at once."""
    bench = Bench()
    with caplog.at_level(logging.WARNING):
        bench.run(LIMIT_S * 5, rows=3, times=100)
        bench.judge.takes(3)
    (record,) = caplog.records
    assert record.getMessage() == (
        "m: runs of 3 rows take 1.0 ms of the event loop, expected 0.2: they run in threads for 60 s"
    )
