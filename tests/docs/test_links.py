"""Every page is found from the README, and no link of a page leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.markdown import PAGES, ROOT, prose

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def links(page: Path) -> list[tuple[Path, str]]:
    """The files, and places in them, that ``page`` links to; links to other sites apart."""
    targets = [link.partition("#") for link in _LINK.findall(prose(page)) if "://" not in link]
    return [((page.parent / path).resolve() if path else page, anchor) for path, _, anchor in targets]


def anchors(page: Path) -> set[str]:
    """The places that headings make, by GitHub's rule."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in links(page):
        assert target.exists(), target
        assert not anchor or anchor in anchors(target), f"{target}#{anchor}"


def test_every_page_is_linked_to() -> None:
    """A page that nobody links to is one that nobody reads."""
    linked = {target for page in PAGES for target, _ in links(page) if target != page}
    assert set(PAGES) - linked == {ROOT / "README.md"}
