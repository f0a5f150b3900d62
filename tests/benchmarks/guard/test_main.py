"""The command fails for a loss, tries again before it does, and records where it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from benchmarks.guard import __main__ as command
from benchmarks.guard import measure
from benchmarks.guard.baseline import Baseline
from benchmarks.guard.paths import PATHS
from benchmarks.guard.steps import Steps

Says = Callable[[Iterable[int], Iterable[float]], Callable[[], tuple[int, int]]]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = tmp_path / "3.11.json"
    monkeypatch.setattr(command, "file_of_this_python", lambda: found)
    return found


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """Let servers have these steps and ratios on every path, one after another; how many of each were measured."""

    def say(steps: Iterable[int], ratios: Iterable[float]) -> Callable[[], tuple[int, int]]:
        measured = [0, 0]
        of_steps, of_times = iter(steps), iter(ratios)

        def count() -> dict[str, Steps]:
            measured[0] += 1
            found = next(of_steps)
            return {path.name: {"door.py f": found} for path in PATHS}

        def time() -> dict[str, float]:
            measured[1] += 1
            found = next(of_times)
            return {path.name: found for path in PATHS}

        monkeypatch.setattr(measure, "steps", count)
        monkeypatch.setattr(measure, "ratios", time)
        return lambda: (measured[0], measured[1])

    return say


@pytest.fixture(autouse=True)
def _recorded(file: Path, says: Says) -> None:
    says([1000], [2.2, 2.0, 2.3, 2.1, 2.4])
    assert command.main(["--record"]) == 0


def test_the_least_of_all_tries_is_recorded(file: Path) -> None:
    """It is compared with the least of as many."""
    assert {(cost.total, cost.ratio) for cost in Baseline.read(file).paths.values()} == {(1000, 2.0)}


def test_no_loss_takes_one_try(says: Says) -> None:
    """CI waits for it."""
    tried = says([1100], [2.2])
    assert command.main([]) == 0
    assert tried() == (1, 1)


def test_a_bad_try_is_not_believed(says: Says) -> None:
    tried = says([1300, 1000], [3.0, 2.4, 2.1])
    assert command.main([]) == 0
    assert tried() == (2, 3)


@pytest.mark.parametrize(
    ("steps", "ratios"), [([1200] * 5, [2.0]), ([1000], [2.4] * 5)], ids=["of steps", "of time alone"]
)
def test_a_loss_of_a_fifth_fails(
    steps: list[int], ratios: list[float], says: Says, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the guard is for."""
    tried = says(steps, ratios)
    assert command.main([]) == 1
    assert tried() == (len(steps), len(ratios))
    assert "20% more than recorded" in capsys.readouterr().out


def test_a_missing_record_fails(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.unlink()
    assert command.main([]) == 1
    assert "make guard ARGS=--record" in capsys.readouterr().err


def test_a_server_that_does_not_start_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what it said, and no traceback of the guard's own."""

    def fail() -> None:
        raise RuntimeError("measure failed: no such model")

    monkeypatch.setattr(measure, "steps", fail)
    assert command.main([]) == 1
    assert capsys.readouterr().err == "measure failed: no such model\n"
