"""A page that does not open, lies about shares, or runs what user code is called, if these failed."""

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from mlserve.observe.flame import WIDTH, flame_page
from mlserve.observe.profile import Profile

STACKS = {("main", "a.f", "a.g"): 3.0, ("main", "a.f"): 1.0, ("worker", "b.h"): 4.0}


def profile(stacks: dict[tuple[str, ...], float] = STACKS, *, on_cpu: bool = True) -> Profile:
    return Profile(stacks, seconds=10.0, looks=1000, on_cpu=on_cpu, process_s=9.5)


def boxes(page: str) -> dict[str, tuple[float, float, float]]:
    """Title of each box to its left edge, top and width."""
    svg = page[page.index("<svg") : page.index("</svg>") + 6]
    found = {}
    for group in ET.fromstring(svg).iter("g"):
        title, rect = group.find("title"), group.find("rect")
        assert title is not None
        assert rect is not None
        found[title.text or ""] = (float(rect.attrib["x"]), float(rect.attrib["y"]), float(rect.attrib["width"]))
    return found


class Tags(HTMLParser):
    """Elements and the texts of table cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_widths_are_shares_and_calls_stand_below_their_callers() -> None:
    """Of the time of all threads."""
    assert boxes(flame_page(profile())) == {
        "main: 4.000 s, 50.0%": (0, 0, WIDTH / 2),
        "a.f: 4.000 s, 50.0%": (0, 18, WIDTH / 2),
        "a.g: 3.000 s, 37.5%": (0, 36, WIDTH * 3 / 8),
        "worker: 4.000 s, 50.0%": (WIDTH / 2, 0, WIDTH / 2),
        "b.h: 4.000 s, 50.0%": (WIDTH / 2, 18, WIDTH / 2),
    }


def test_the_table_has_itself_and_what_it_calls() -> None:
    """Those that take most stand first; recursion counts once."""
    rows = flame_page(profile({("t", "f", "g", "f"): 2.0, ("t", "f"): 1.0, ("t", "f", "g"): 0.5})).split("<tr>")[2:]
    cells = [Tags(row).texts[:3] for row in rows]
    assert cells == [["f", "3.000 s", "3.500 s"], ["g", "0.500 s", "2.500 s"]]


def test_names_from_user_code_stay_text() -> None:
    """A module or a thread may be called anything."""
    evil = "</title></svg><script>alert(1)</script>\"'&\udcff"
    page = flame_page(profile({(evil, f"m.{evil}"): 1.0}))
    assert "<script" not in page
    tags = Tags(page)
    assert set(tags.tags) <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "div", "svg", "g", "rect", "text", "table",
        "tr", "th", "td",
    }  # fmt: skip
    assert not [name for name in tags.attributes if name.startswith("on") or name in ("src", "href", "xlink:href")]
    assert f"m.{evil}" in tags.texts
    page.encode("utf-8", "replace")


def test_nothing_comes_from_elsewhere() -> None:
    """The page is opened on machines without a way out, or sent by mail."""
    page = flame_page(profile())
    assert "http" not in page
    assert "url(" not in page
    assert "@import" not in page


def test_what_is_tiny_is_not_drawn() -> None:
    """A page of a million boxes does not open."""
    stacks = {("t", f"m.f{index}"): 1.0 for index in range(5000)}
    assert set(boxes(flame_page(profile(stacks)))) == {"t: 5000.000 s, 100.0%"}


@pytest.mark.parametrize("stacks", [{}, {("t", "f"): 0.0}])
def test_an_idle_process_has_a_page_too(stacks: dict[tuple[str, ...], float]) -> None:
    """In words."""
    assert "No thread that runs Python used the processor" in flame_page(profile(stacks))


def test_it_says_what_it_could_not_see() -> None:
    """Time in native threads, or that waiting looks like work."""
    assert "8.00 s in threads that run Python, shown below; 1.50 s elsewhere" in flame_page(profile())
    assert "waiting is shown like work" in flame_page(profile(on_cpu=False))
