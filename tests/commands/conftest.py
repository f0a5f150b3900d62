"""The commands as functions, so that a test costs no start of an interpreter."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlserve.cli import main
from tests.support.command import Mlserve, Outcome


@pytest.fixture
def mlserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Mlserve]:
    """``mlserve`` with these arguments, in an empty folder. The logging that it sets up is taken down again."""
    monkeypatch.chdir(tmp_path)
    root, ours = logging.getLogger(), logging.getLogger("mlserve")
    handlers, levels = root.handlers[:], (root.level, ours.level)

    def run(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    yield run
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
