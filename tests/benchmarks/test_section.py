"""What is written into the documentation, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.growth.__main__ import SECTION as GROWTH
from benchmarks.peers.__main__ import SECTION as PEERS
from benchmarks.section import Section


@pytest.fixture
def section(tmp_path: Path) -> Section:
    return Section("some", tmp_path / "page.md")


def test_only_what_is_between_the_markers_is_replaced(section: Section) -> None:
    """What people wrote on the page would be gone."""
    section.page.write_text(f"before\n{section.begin}\nold\n{section.end}\nafter\n")
    section.write("new", "<svg/>")
    section.write("newer", "<svg/>")
    assert section.page.read_text() == f"before\n{section.begin}\n\nnewer\n\n{section.end}\nafter\n"
    assert section.plot.read_text() == "<svg/>"


@pytest.mark.parametrize("text", ["", "{begin}", "{end}\n{begin}", "{begin}{end}{begin}{end}"])
def test_a_page_without_its_markers_is_left_alone(text: str, section: Section) -> None:
    """A guess at where to write would cost somebody their page."""
    found = text.format(begin=section.begin, end=section.end)
    section.page.write_text(found)
    with pytest.raises(ValueError, match="should have these lines once"):
        section.write("new", "<svg/>")
    assert section.page.read_text() == found
    assert not section.plot.exists()


@pytest.mark.parametrize("section", [PEERS, GROWTH], ids=["peers", "growth"])
def test_the_page_of_the_repository_has_the_markers(section: Section) -> None:
    """Somebody who measured for ten minutes must not learn at the end that there is no place for it."""
    text = section.page.read_text(encoding="utf-8")
    assert (text.count(section.begin), text.count(section.end)) == (1, 1)
