"""What the page makes of numbers, tiers and refusals, by answers that a server of our own gives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest

from mlserve.transport.page.assets import PAGE
from tests.support.browser import ENTER, Browser
from tests.support.eval_requests import request


class Canned:
    """A server whose answers are set by the test; it counts how often it was asked for the models."""

    def __init__(self) -> None:
        self.status = 200
        self.clock = 0.0
        self.models: list[dict[str, Any]] = []
        self.step = threading.Lock()  # the page asks whenever it likes: new counts come with their new time
        self.asked = 0
        self.tier: str | None = None
        self.error = ""

    def listing(self) -> bytes:
        self.asked += 1
        if self.status != 200:
            return orjson.dumps({"status": "error", "error": self.error, "code": "forbidden"})
        with self.step:
            return orjson.dumps({"version": "1.2.3", "clockSeconds": self.clock, "models": self.models})

    def model(self, **changed: Any) -> None:
        """Answer one model from now on, five seconds later than before."""
        known = {"id": "m", "state": "serving", "error": None, "rows": 0, "cacheLookups": 0, "cacheHits": 0}
        form = {"generation": "abc", "runtime": "r", "loadSeconds": 1.5, "warnings": [], "madeUp": False, "inputs": []}
        with self.step:
            self.clock += 5
            self.models = [{**known, **form, **changed}]


@pytest.fixture
def canned(browser: Browser) -> Iterator[tuple[Canned, str]]:
    """Left by the browser before it ends: a page would note that nobody answers it any more."""
    state = Canned()

    class Handler(BaseHTTPRequestHandler):
        timeout = 2  # browsers open connections that they do not use

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/v1/api/models":
                self.answer(state.status, state.listing(), {})
            else:
                response = PAGE[path](request(path))
                self.answer(200, response.body, {**response.headers, "Content-Type": response.content_type})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            headers = {} if state.tier is None else {"Cache-Status": state.tier}
            self.answer(200, b'{"status":"ok","serviceTimeMcs":1234567,"data":{"y":1.0}}', headers)

        def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
            """Tests tell what went wrong; nobody reads this."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield state, f"http://127.0.0.1:{server.server_port}"
        finally:
            browser.open("about:blank")
            server.shutdown()
            thread.join()


def poll(browser: Browser, state: Canned) -> None:
    """Have the page ask now, and wait until it has shown what it heard."""
    before = state.asked
    browser.run("document.dispatchEvent(new Event('visibilitychange'))")
    browser.wait_for(lambda: state.asked > before)


def number(browser: Browser, name: str) -> str:
    return browser.text(f".card .{name}")


class TestRates:
    def test_are_counts_over_the_servers_time(self, browser: Browser, canned: tuple[Canned, str]) -> None:
        """One reading says nothing yet; two do; a server that was started again counts from 0."""
        state, url = canned
        state.model(rows=1000, cacheLookups=100, cacheHits=90)
        browser.open(url)
        browser.wait_for(lambda: number(browser, "load") == "1.50 s")
        assert number(browser, "rate") == "–"
        for rows, rate in ((1011, "2.2"), (1011, "0"), (8511, "1,500"), (2_000_000_000, "400M"), (7, "–"), (12, "1.0")):
            state.model(rows=rows)
            poll(browser, state)
            browser.wait_for(lambda rate=rate: number(browser, "rate") == rate)

    def test_hits_are_of_the_rows_looked_up_since(self, browser: Browser, canned: tuple[Canned, str]) -> None:
        """Since the start at first; where nobody asked, what was true last."""
        state, url = canned
        state.model()
        browser.open(url)
        browser.wait_for(lambda: number(browser, "hits") == "–")
        counts = (((100, 25), "25 %"), ((200, 124), "99.0 %"), ((200, 124), "99.0 %"), ((300, 224), "100 %"),
                  ((10_300, 10_223), "99.9 %"), ((10_400, 10_223), "0 %"), ((10, 5), "50 %"))  # fmt: skip
        for (lookups, hits), shown in counts:
            state.model(cacheLookups=lookups, cacheHits=hits)
            poll(browser, state)
            browser.wait_for(lambda shown=shown: number(browser, "hits") == shown)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (None, "not cached"),
        ("memory; hit; ttl=863", "memory, hit"),
        ("l1; hit", "l1, hit"),
        ("mlserve; fwd=miss; stored", "miss, stored"),
        ("mlserve; fwd=miss", "miss"),
        ("mlserve; fwd=miss; collapsed", "miss, joined another run"),
        ("mlserve; fwd=bypass", "not cached"),
        ("mlserve; fwd=request", "asked to compute"),
        ('mlserve; detail="memory=90 l1=5 miss=5"', "memory=90 l1=5 miss=5"),
        ("<b>; new=words", "<b>; new=words"),
    ],
)
def test_the_tier_is_said_in_words(
    browser: Browser, canned: tuple[Canned, str], header: str | None, words: str
) -> None:
    """An operator would have to know RFC 9211 by heart; the header itself is in the tooltip."""
    state, url = canned
    state.tier = header
    state.model()
    browser.open(f"{url}/#m")
    browser.wait_for(lambda: browser.text(".run"))
    browser.tab_to("Predict")
    browser.press(ENTER)
    browser.wait_for(lambda: browser.text(".facts"))
    shown = "return [...document.querySelectorAll('.facts dd')].map((cell) => [cell.innerText, cell.title])"
    server, _, cache = browser.run(shown)
    assert cache == [words, header or ""]
    assert server == ["1.23 s", ""]


def test_a_refusal_is_shown(browser: Browser, canned: tuple[Canned, str]) -> None:
    """Not an empty page; and it heals when the configuration does."""
    state, url = canned
    state.status, state.error = 403, "this address is not in <i>AllowedSubnet</i>"
    browser.open(url)
    said = "The models are not shown: this address is not in <i>AllowedSubnet</i>."
    browser.wait_for(lambda: browser.text("#summary") == said)
    state.status = 200
    poll(browser, state)
    browser.wait_for(lambda: browser.text("#summary") == "No model is configured.")


def test_models_come_and_go_in_the_configurations_order(browser: Browser, canned: tuple[Canned, str]) -> None:
    """What is open stays open, and who listens hears of what is gone."""
    state, url = canned
    state.model()
    (known,) = state.models
    browser.open(f"{url}/#m")
    browser.wait_for(lambda: browser.text(".run"))
    titles = "return [...document.querySelectorAll('h2')].map((title) => title.innerText)"
    state.models = [{**known, "id": "a"}, known, {**known, "id": "z", "state": "loading"}]
    poll(browser, state)
    browser.wait_for(lambda: browser.run(titles) == ["a", "m", "z"])
    assert browser.text("#panel-m .run") == "Predict"
    state.models = [{**known, "id": "z"}, known]
    poll(browser, state)
    browser.wait_for(lambda: browser.run(titles) == ["z", "m"])
    assert browser.run("return document.getElementById('news').textContent") == "a is gone. z: Serving"


def test_a_link_that_is_broken_opens_nothing(browser: Browser, canned: tuple[Canned, str]) -> None:
    """The page comes all the same."""
    state, url = canned
    state.model()
    browser.open(f"{url}/#%E0%")
    browser.wait_for(lambda: browser.text("#summary") == "The model serves.")
    assert browser.text(".panel") == ""


WATCH_TIMERS = """
window.timers = new Set();
const { setTimeout: set, clearTimeout: clear } = window;
window.setTimeout = (call, ms) => {
  const id = set(() => { timers.delete(id); call(); }, ms);
  timers.add(id);
  return id;
};
window.clearTimeout = (id) => { timers.delete(id); clear(id); };
"""


def test_a_page_that_is_not_seen_does_not_ask(browser: Browser, canned: tuple[Canned, str]) -> None:
    """A hundred forgotten tabs would otherwise keep a server busy; one that is seen again asks at once."""
    state, url = canned
    script = browser.devtools("Page.addScriptToEvaluateOnNewDocument", source=WATCH_TIMERS)
    try:
        browser.open(url)
        timers = "return timers.size"
        browser.wait_for(lambda: browser.run(timers) == 1)
        see = "Object.defineProperty(document, 'hidden', {value: !arguments[0], configurable: true})"
        browser.run(f"{see}; document.dispatchEvent(new Event('visibilitychange'))", False)
        browser.wait_for(lambda: browser.run(timers) == 0)
        before = state.asked
        browser.run(f"{see}; document.dispatchEvent(new Event('visibilitychange'))", True)
        browser.wait_for(lambda: state.asked == before + 1)
    finally:
        browser.devtools("Page.removeScriptToEvaluateOnNewDocument", **script)
