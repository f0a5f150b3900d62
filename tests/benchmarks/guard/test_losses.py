"""A real server that was made slower is found out, on the paths that go that way and on no other."""

from __future__ import annotations

import subprocess
import sys

import orjson
import pytest

from benchmarks.guard import measure
from benchmarks.guard.baseline import Baseline, Cost
from benchmarks.guard.paths import PATHS
from benchmarks.guard.report import advice
from benchmarks.guard.steps import Steps
from benchmarks.guard.verdict import judge_steps
from benchmarks.process import ROOT

DECODED = {"1 row computed", "32 callers computed"}
"""Where decoding is a large part."""
REMEMBERED = {"GET from memory", "POST from memory"}
"""What the door answers is not decoded."""


@pytest.fixture(scope="module")
def found() -> tuple[dict[str, Steps], dict[str, Steps]]:
    """Steps of one server, before and after a loop was put in front of its decoder."""
    command = [sys.executable, "-m", "tests.support.slower_server"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr.decode()
    before, after = orjson.loads(done.stdout)
    return before, after


def test_every_path_is_measured(found: tuple[dict[str, Steps], dict[str, Steps]]) -> None:
    """Through the daemon: a path that is left out is not guarded."""
    before, _ = found
    assert before.keys() == {path.name for path in PATHS}
    assert all(any(name.startswith("mlserve/transport/") for name in steps) for steps in before.values())


def test_a_quick_run_stays_on_the_loop(found: tuple[dict[str, Steps], dict[str, Steps]]) -> None:
    """Counting makes every run slow; judged by that it would be measured in a thread, where nobody's runs are."""
    before, _ = found
    assert not any(name.startswith("concurrent/futures/") for name in before["1 row computed"])
    assert any(name.startswith("concurrent/futures/") for name in before["1,000 rows computed"])


def test_a_loss_is_found_where_it_is(found: tuple[dict[str, Steps], dict[str, Steps]]) -> None:
    """And the function that costs it is the first that the guard names."""
    before, after = found
    recorded = Baseline("cpu", {path: Cost(steps, 1.0) for path, steps in before.items()})
    judged = judge_steps(recorded, [after])
    lost = {one.path for one in judged if one.lost}
    assert lost >= DECODED
    assert not lost & REMEMBERED
    for part in advice(judged, recorded, after).split("\n\n")[:-1]:
        assert "slow_down_decoding.<locals>.slower" in part.splitlines()[1]


def test_a_measurement_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is another one: its error must not be lost on the way."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match=r"benchmarks.guard.measure steps failed"):
        measure.steps()


def test_a_measurement_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """CI would wait for it for hours, and not be told for what."""
    monkeypatch.setattr(measure, "ENDS_WITHIN_S", 0.01)
    with pytest.raises(RuntimeError, match=r"benchmarks.guard.measure times did not end within 0.01 s"):
        measure.ratios()
