"""Who reads why the guard failed knows which path, how much, where, and what to do."""

from __future__ import annotations

from benchmarks.guard.baseline import RECORD, Baseline, Cost
from benchmarks.guard.report import advice, difference, table
from benchmarks.guard.verdict import judge_steps, judge_times

STEPS = {"door.py Door.data_received": 400, "chain.py look_up": 500, "elsewhere": 100}
RECORDED = Baseline("cpu", {"GET": Cost(STEPS, 0.5), "POST": Cost(STEPS, 0.5)})
SLOWER = {**STEPS, "door.py Door.data_received": 700, "new.py added": 50, "chain.py look_up": 450}


def test_a_loss_of_steps_names_the_functions_that_grew() -> None:
    judged = judge_steps(RECORDED, [{"GET": SLOWER, "POST": STEPS}])
    said = advice(judged, RECORDED, {"GET": SLOWER, "POST": STEPS})
    assert "GET takes 1,300 instructions of Python, 30% more than recorded, and 15% may pass" in said
    assert "+300  door.py Door.data_received (400 -> 700)" in said
    assert "+50  new.py added (0 -> 50)" in said
    assert "look_up" not in said
    assert "POST" not in said
    assert RECORD in said


def test_a_loss_of_time_says_where_to_look() -> None:
    """There are no functions to name: the interpreter did no more than before."""
    judged = judge_times(RECORDED, [{"GET": 0.65, "POST": 0.5}], "cpu")
    said = advice(judged, RECORDED, {"GET": STEPS, "POST": STEPS})
    assert "GET takes as long as 0.65 answers of the bare server: in every try 30% more than recorded" in said
    assert RECORD in said


def test_the_functions_that_grew_most_come_first() -> None:
    assert [line.split()[0] for line in difference(STEPS, {**SLOWER, "tiny.py": 100})] == ["+300", "+100", "+50"]


def test_functions_that_were_not_named_are_told_together() -> None:
    """Each of them would look new, and hide the one that is."""
    few = {f"tiny.py f{number}": 7 for number in range(20)}
    now = {name: count for name, count in STEPS.items() if name != "elsewhere"} | few
    assert [line.split() for line in difference(STEPS, now)] == [["+40", "elsewhere", "(100", "->", "140)"]]


def test_a_gain_asks_to_be_recorded() -> None:
    """Half of a gain could otherwise be lost again and nothing would fail."""
    judged = judge_times(RECORDED, [{"GET": 0.4, "POST": 0.5}], "cpu")
    assert RECORD in advice(judged, RECORDED, {})


def test_no_change_says_nothing() -> None:
    judged = judge_times(RECORDED, [{"GET": 0.55, "POST": 0.46}], "cpu")
    assert advice(judged, RECORDED, {}) == ""


def test_the_table_marks_what_was_lost() -> None:
    judged = judge_times(RECORDED, [{"GET": 0.65, "POST": 0.4}], "cpu")
    get, post = table(judged).splitlines()
    assert get.split() == ["GET", "times", "0.50", "->", "0.65", "+30.0%", "LOST"]
    assert post.split()[-2:] == ["-20.0%", "gained"]
