"""A loss is what grew by more than its share, in every try."""

from __future__ import annotations

import pytest

from benchmarks.guard.baseline import Baseline, Cost
from benchmarks.guard.paths import PATHS
from benchmarks.guard.verdict import LOSS, judge_steps, judge_times

HERE = "This Processor"
PATH = PATHS[0].name


def recorded() -> Baseline:
    return Baseline(HERE, {PATH: Cost({"a.py f": 900, "elsewhere": 100}, 2.0)})


@pytest.mark.parametrize(("now", "lost", "gained"), [(1150, False, False), (1151, True, False), (849, False, True)])
def test_steps_may_grow_by_their_share(now: int, lost: bool, gained: bool) -> None:
    (judged,) = judge_steps(recorded(), [{PATH: {"a.py f": now - 50, "b.py g": 50}}])
    assert (judged.lost, judged.gained, judged.now) == (lost, gained, now)


@pytest.mark.parametrize(("ratio", "lost"), [(2.29, False), (2.31, True)])
def test_times_may_grow_by_their_share(ratio: float, lost: bool) -> None:
    (judged,) = judge_times(recorded(), [{PATH: ratio}], HERE)
    assert (judged.lost, judged.most) == (lost, LOSS)


def test_one_good_try_clears_a_path() -> None:
    """A neighbour can make a server slow, and none can make it quick."""
    tries = [{PATH: 4.0}, {PATH: 2.1}, {PATH: 3.0}]
    (judged,) = judge_times(recorded(), tries, HERE)
    assert (judged.lost, judged.now) == (False, 2.1)


def test_a_loss_that_every_try_shows_is_believed() -> None:
    """Else trying again would be a way to pass."""
    (judged,) = judge_times(recorded(), [{PATH: 2.5}, {PATH: 2.4}, {PATH: 2.6}], HERE)
    assert judged.lost


@pytest.mark.parametrize(("ratio", "lost"), [(2.9, False), (3.1, True)])
def test_another_processor_may_weigh_otherwise(ratio: float, lost: bool) -> None:
    """A guard that always fails on somebody's machine is one that they leave out; a gross loss fails there too."""
    (judged,) = judge_times(recorded(), [{PATH: ratio}], "Another Processor")
    assert judged.lost == lost
