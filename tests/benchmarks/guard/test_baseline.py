"""What was agreed to is read as it was written, and is told when it cannot be compared with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.guard.baseline import ELSEWHERE, FOLDER, RECORD, Baseline, Cost
from benchmarks.guard.paths import PATHS

STEPS = {"door.py f": 700, "door.py g": 295, "door.py rare": 4, "door.py once": 1}


def baseline() -> Baseline:
    return Baseline("cpu", {path.name: Cost(STEPS, 1.23456) for path in PATHS})


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    """But for functions of few steps, which would make a large file and a new one with every commit."""
    file = tmp_path / "baselines" / "3.11.json"
    baseline().write(file)
    found = Baseline.read(file)
    assert found.processor == "cpu"
    assert found.paths == {path.name: Cost({"door.py f": 700, "door.py g": 295, ELSEWHERE: 5}, 1.235) for path in PATHS}


def test_what_is_left_out_is_still_in_the_sum() -> None:
    """A thousand small functions would cost nothing."""
    assert Cost(STEPS, 1.0).brief().total == Cost(STEPS, 1.0).total == 1000
    assert Cost(STEPS, 1.0).brief().brief() == Cost(STEPS, 1.0).brief()


def test_a_python_without_a_record_says_how_to_make_one(tmp_path: Path) -> None:
    """A guard that passed for want of a record would pass for ever."""
    with pytest.raises(RuntimeError, match=f"3.14.json is missing.*{RECORD}"):
        Baseline.read(tmp_path / "3.14.json")


def test_a_path_without_a_record_is_told(tmp_path: Path) -> None:
    """A new path would otherwise not be guarded, and one that was renamed no longer."""
    file = tmp_path / "3.11.json"
    baseline().write(file)
    tree = json.loads(file.read_text())
    tree["paths"]["of old"] = tree["paths"].pop(PATHS[0].name)
    file.write_text(json.dumps(tree))
    with pytest.raises(RuntimeError, match=f"same paths: {PATHS[0].name}, of old. .*{RECORD}"):
        Baseline.read(file)


@pytest.mark.parametrize("minor", ["3.11", "3.12", "3.13"])
def test_every_python_that_we_support_has_a_record(minor: str) -> None:
    """CI on that Python would fail."""
    assert all(cost.total > 0 and cost.ratio > 0 for cost in Baseline.read(FOLDER / f"{minor}.json").paths.values())
