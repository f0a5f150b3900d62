"""A browser would run or load what we did not write, keep an old page, or get half of one, if these failed."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from mlserve.transport.page.assets import CONTENT_SECURITY_POLICY, PAGE
from mlserve.transport.wire import encode
from tests.support.eval_requests import request

SCRIPTS = {path: asset.body.decode() for path, asset in PAGE.items() if path.endswith(".js")}


class Tags(HTMLParser):
    """The start tags of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


INDEX = Tags(PAGE["/"].body.decode())


def test_all_of_it_is_small() -> None:
    """An operator opens it over a bad line, on a bad day."""
    assert sum(len(asset.body) for asset in PAGE.values()) < 30_000


@pytest.mark.parametrize("path", PAGE)
def test_every_file_goes_out_with_its_guards(path: str) -> None:
    """On each file, since each may be opened alone."""
    response = PAGE[path](request(path))
    assert response.status == 200
    assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert encode(response, head_only=False)[1] == PAGE[path].body


def test_the_policy_allows_our_own_files_alone() -> None:
    """No inline script, no other host, no frame, no markup made from text."""
    directives = dict(part.split(" ", 1) for part in CONTENT_SECURITY_POLICY.split("; "))
    assert directives["default-src"] == "'none'"
    assert {directives[name] for name in ("script-src", "style-src", "img-src", "connect-src")} == {"'self'"}
    assert {directives[name] for name in ("frame-ancestors", "base-uri", "form-action", "trusted-types")} == {"'none'"}
    assert "unsafe" not in CONTENT_SECURITY_POLICY


def test_all_that_the_page_loads_is_served() -> None:
    """Its files by name, and those that its scripts import."""
    loaded = {attrs.get("src") or attrs.get("href") for tag, attrs in INDEX.found if tag in ("script", "link", "img")}
    imported = {f"/_page/{name}" for script in SCRIPTS.values() for name in re.findall(r'from "\./([^"]+)"', script)}
    assert loaded | imported == PAGE.keys() - {"/"}


def test_nothing_in_the_page_needs_an_exception_to_the_policy() -> None:
    """Inline scripts, styles and handlers would be dead."""
    for tag, attrs in INDEX.found:
        assert tag != "style"
        assert not [name for name in attrs if name == "style" or name.startswith("on")]
        assert tag != "script" or "src" in attrs


@pytest.mark.parametrize("path", SCRIPTS)
def test_no_script_makes_markup_or_code_from_text(path: str) -> None:
    """Inputs and errors may hold anything."""
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", SCRIPTS[path])


class TestRevalidation:
    @pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*", '  W/"x" ,{}  '])
    def test_a_file_that_is_known_is_not_sent_again(self, form: str) -> None:
        """Every load of the page asks for every file."""
        asset = PAGE["/"]
        response = asset(request("/", headers={"If-None-Match": form.format(asset.etag)}))
        assert (response.status, response.body) == (304, b"")
        assert response.headers["ETag"] == asset.etag
        assert response.headers["Cache-Control"] == "no-cache"

    @pytest.mark.parametrize("tags", ["", '"other"', "nonsense", '"'])
    def test_another_one_is(self, tags: str) -> None:
        """An update is seen at the next load."""
        response = PAGE["/"](request("/", headers={"If-None-Match": tags}))
        assert (response.status, response.headers["ETag"]) == (200, PAGE["/"].etag)

    def test_each_file_has_a_tag_of_its_own(self) -> None:
        """It is the digest of what it holds."""
        assert len({asset.etag for asset in PAGE.values()}) == len(PAGE)
