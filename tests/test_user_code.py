"""Versions of a user's file would share state, or the old one would be served as the new, if these failed."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import pytest

from mlserve.user_code import forget, run_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rules.py"


def test_each_run_is_a_module_of_its_own(file: Path) -> None:
    """The old version serves on while the new one loads; neither may see the other's state."""
    file.write_text("seen = []\n", encoding="utf-8")
    old, new = run_file(file), run_file(file)
    old.seen.append(1)
    assert new.seen == []
    assert sys.modules[old.__name__] is old
    assert sys.modules[new.__name__] is new
    for module in (old, new):
        forget(module)
        assert module.__name__ not in sys.modules


def test_a_change_that_keeps_size_and_time_is_seen(file: Path) -> None:
    """Python's own cache of bytecode would answer with the old text."""
    file.write_text("answer = 1\n", encoding="utf-8")
    os.utime(file, (1e9, 1e9))
    old = run_file(file)
    file.write_text("answer = 2\n", encoding="utf-8")
    os.utime(file, (1e9, 1e9))
    new = run_file(file)
    assert (old.answer, new.answer) == (1, 2)
    assert not (file.parent / "__pycache__").exists()
    forget(old)
    forget(new)


def test_what_it_makes_can_be_pickled_until_it_is_forgotten(file: Path) -> None:
    """Pickle looks classes up by their module's name; so do dataclasses while the file is run."""
    file.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass Rule:\n    n: int\n",
        encoding="utf-8",
    )
    module = run_file(file)
    assert pickle.loads(pickle.dumps(module.Rule(3))).n == 3
    forget(module)
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(module.Rule(3))


@pytest.mark.parametrize(
    ("text", "error"),
    [("raise SystemExit(2)", SystemExit), ("def f(:", SyntaxError), ("import no_such_module", ImportError)],
)
def test_a_file_that_fails_leaves_no_module(file: Path, text: str, error: type[BaseException]) -> None:
    """Each attempt of a reload would leave one more; and the caller is the one to tell the author."""
    file.write_text(text, encoding="utf-8")
    before = set(sys.modules)
    with pytest.raises(error):
        run_file(file)
    assert set(sys.modules) == before


def test_a_file_that_is_not_python_s_is_told_by_name(tmp_path: Path) -> None:
    """Its ending decides, as for any import."""
    with pytest.raises(ImportError, match=r"rules\.txt is not a Python file"):
        run_file(tmp_path / "rules.txt")
