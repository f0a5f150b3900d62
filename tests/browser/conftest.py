"""One browser for all tests of the page. Without one installed they fail in CI, and elsewhere say what to install."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import MISSING, Browser, is_there, open_browser

HERE = Path(__file__).parent
_LEFT_OUT = pytest.StashKey[int]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A person without Chromium can test all the rest; nobody can merge without these."""
    ours = [item for item in items if HERE in item.path.parents]
    if is_there() or os.environ.get("CI") or not ours:
        return
    items[:] = [item for item in items if item not in ours]
    config.hook.pytest_deselected(items=ours)
    config.stash[_LEFT_OUT] = len(ours)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The last lines are those that are read."""
    if left_out := config.stash.get(_LEFT_OUT, 0):
        terminalreporter.write_line(f"NOT RUN: {left_out} tests in tests/browser; {MISSING}", yellow=True, bold=True)


@pytest.fixture(scope="session")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser with an empty profile."""
    assert is_there(), MISSING
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(window: Browser) -> Iterator[Browser]:
    """The same browser as new; what it complains of on the way, refused requests apart, fails the test."""
    window.open("about:blank")
    window.resize(1200, 900)
    window.console()
    yield window
    assert [line for line in window.console() if "responded with a status of 4" not in line] == []
