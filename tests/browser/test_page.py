"""The page of a real daemon in a real browser: what an operator sees, types and hears.

To look at the page yourself: ``SCREENSHOTS=<folder> make test ARGS=tests/browser``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import CONTROL, ENTER, TAB, Browser
from tests.support.daemon import Daemon
from tests.support.zoo.python import write_model

MARKUP = "<img src=x onerror=alert(1)>"
CONFIG = f"""
Models:
  - ID: food
    URL: python:food.py:Model
    Test: {{Single: {{grams: 4000, prey: krill}}}}
    Inputs: [{{Name: grams, Precision: 1}}, {{Name: prey, Default: fish}}]
  - {{ID: vectors, URL: python:vectors.py:Model, Test: {{Single: {{pair: [1, 2]}}}}}}
  - {{ID: species, URL: python:species.py:Model}}
  - {{ID: hostile, URL: python:hostile.py:Model}}
  - {{ID: late, URL: python:late.py:Model}}
  - {{ID: gone, URL: "{MARKUP}.onnx"}}
"""
SPECIES = "{'Adelie': 0.75, 'Gentoo': 0.25}"
HOLD_ANSWERS = """
const ask = window.fetch;
window.fetch = async (url, options) => {
  if (options.method === "POST") await new Promise((resolve) => { window.letGo = resolve; });
  return ask(url, options);
};
"""

Show = Callable[[str], None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration, and models for it."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "config.yaml").write_text(CONFIG)
    write_food(folder, "kg")
    identity = "def predict(self, inputs): return {'same': inputs['pair'], 'large': inputs['n']}"
    write_model(folder, {"pair": "float32[-1,2]", "n": "int64[-1]"}, {"same": "float32[-1,2]", "large": "int64[-1]"},
                identity, "vectors")  # fmt: skip
    shares = f"""
    def predict(self, inputs):
        n = len(inputs["on"])
        return {{"label": ["Adelie"] * n, "shares": [{SPECIES}] * n}}
    """
    write_model(folder, {"on": "bool[-1]"}, {"label": "string[-1]", "shares": "json[-1]"}, shares, "species")
    echo = f"def predict(self, inputs): return {{{MARKUP!r}: inputs[{MARKUP!r}]}}"
    write_model(folder, {MARKUP: "string[-1]"}, {MARKUP: "string[-1]"}, echo, "hostile")
    patient = f"""
    def load(self, path):
        import time
        from pathlib import Path
        while not Path({str(folder / "go")!r}).exists():
            time.sleep(0.01)
    def predict(self, inputs): return {{"y": inputs["x"]}}
    """
    write_model(folder, {"x": "float32[-1]"}, {"y": "float32[-1]"}, patient, "late")
    return folder


def write_food(folder: Path, unit: str) -> None:
    body = f"def predict(self, inputs): return {{'answer': np.array([f'{{g / 1000:.2f}} {unit} of {{p}}'"
    body += " for g, p in zip(inputs['grams'], inputs['prey'])], object)}"
    write_model(folder, {"grams": "float32[-1]", "prey": "string[-1]"}, {"answer": "string[-1]"}, body, "food")


@pytest.fixture(scope="module")
def daemon(folder: Path) -> Iterator[Daemon]:
    with Daemon(folder / "config.yaml") as daemon:
        for model in ("food", "vectors", "species", "hostile"):
            daemon.wait_for_log(rf"\b{model} serves")
        try:
            yield daemon
        finally:
            (folder / "go").touch()  # else the stop would wait for it


@pytest.fixture
def page(browser: Browser, daemon: Daemon) -> Browser:
    """The page, once it knows the models."""
    browser.open(daemon.url)
    browser.wait_for(lambda: "6 models serve" in browser.text("#summary"))
    return browser


@pytest.fixture
def keep(page: Browser, tmp_path: Path) -> Show:
    """Takes a screenshot under a name."""
    shots = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    shots.mkdir(exist_ok=True)

    def take(name: str) -> None:
        page.screenshot(shots / f"{name}.png")
        assert (shots / f"{name}.png").read_bytes().startswith(b"\x89PNG")

    return take


def open_by_keyboard(page: Browser, model: str) -> None:
    page.tab_to(model)
    page.press(ENTER)
    page.wait_for(lambda: page.text(f"#panel-{model} .run"))


def answer(page: Browser, model: str) -> dict[str, str]:
    """What the answer's lists say, once there is one."""
    script = """
    const panel = document.getElementById(`panel-${arguments[0]}`);
    if (panel.querySelector(".answer").ariaBusy !== "false") return null;
    return Object.fromEntries([...panel.querySelectorAll(".said dl > div")].map((pair) =>
      [pair.querySelector("dt").innerText, pair.querySelector("dd").innerText]));
    """
    found: dict[str, str] = page.wait_for(lambda: page.run(script, model))
    return found


def invalid(page: Browser) -> list[list[Any]]:
    """The label and the error of each field that is marked."""
    script = """
    return [...document.querySelectorAll("[aria-invalid]")].map((control) => [control.labels[0].innerText,
      control.ariaDescribedByElements.at(-1).innerText]);
    """
    found: list[list[Any]] = page.run(script)
    return found


def predict(page: Browser, model: str) -> None:
    """Send the form of ``model`` once more; afterwards its old answer is not taken for the new one."""
    page.run("document.getElementById(`panel-${arguments[0]}`).querySelector('.answer').ariaBusy = 'true'", model)
    page.press(ENTER)


class TestByKeyboard:
    def test_a_prediction(self, page: Browser, keep: Show) -> None:
        """Somebody without a mouse could not try a model; the form begins with the configured row."""
        open_by_keyboard(page, "food")
        page.tab_to("grams")
        page.retype("2500.04")
        keep("form")
        page.press(ENTER)
        found = answer(page, "food")
        assert found["answer"] == "2.50 kg of krill"
        assert found["Cache"] == "not cached"
        for time in ("Server", "Round trip"):
            assert re.fullmatch(r"[\d.]+ ms", found[time])
        assert page.focused() == "grams"
        keep("answer")

    def test_the_first_key_skips_to_the_models(self, page: Browser) -> None:
        """Else every visit begins with a walk over the links."""
        page.press(TAB)
        assert page.focused() == "Skip to the models"
        page.press(ENTER)
        page.wait_for(lambda: page.run("return location.hash") == "#main")
        page.press(TAB)
        assert page.focused() == "food"

    def test_what_is_open_closes_again(self, page: Browser) -> None:
        """And is said to be one or the other."""
        open_by_keyboard(page, "food")
        opener = "return document.activeElement.ariaExpanded"
        assert page.run(opener) == "true"
        page.press(ENTER)
        assert page.run(opener) == "false"
        assert page.text("#panel-food") == ""

    def test_every_control_has_a_name_and_a_hint(self, page: Browser) -> None:
        """A screen reader would say "edit, blank"."""
        for model in ("food", "vectors", "species"):
            open_by_keyboard(page, model)
        script = """
        return [...document.querySelectorAll("input, textarea, select")].map((control) =>
          [control.labels[0]?.innerText, control.ariaDescribedByElements[0]?.innerText])
        """
        assert page.run(script) == [
            ["grams", "float32 · rounded to 1 decimal"],
            ["prey", 'string · optional, else "fish"'],
            ["n", "int64"],
            ["pair", "float32 2 · as JSON"],
            ["on", "bool"],
        ]


class TestErrors:
    def test_stand_at_the_field_they_name(self, page: Browser, keep: Show) -> None:
        """And the focus goes there from another field; they go when the value is good."""
        open_by_keyboard(page, "food")
        page.tab_to("grams")
        page.retype("much")
        page.tab_to("prey")
        page.press(ENTER)
        page.wait_for(lambda: invalid(page))
        assert invalid(page) == [["grams", "expected a number (float32), got 'much'"]]
        assert page.focused() == "grams"
        assert page.text(".answer .trouble") == "Nothing was run: one field needs another value."
        keep("error")
        page.retype("1000")
        predict(page, "food")
        assert answer(page, "food")["answer"] == "1.00 kg of krill"
        assert invalid(page) == []

    @pytest.mark.parametrize(("meanwhile", "focused"), [(TAB, "Predict"), ("squid", "prey")])
    def test_take_the_focus_from_nobody_who_has_moved_on(self, page: Browser, meanwhile: str, focused: str) -> None:
        """What a person types while an answer is late would end up in another field."""
        open_by_keyboard(page, "food")
        page.tab_to("grams")
        page.retype("much")
        page.tab_to("prey")
        page.run(HOLD_ANSWERS)
        page.press(ENTER, meanwhile)
        assert page.focused() == focused
        page.run("letGo()")
        page.wait_for(lambda: invalid(page))
        assert page.focused() == focused

    def test_stand_at_each_field_that_is_empty(self, page: Browser) -> None:
        """The server names them all at once."""
        open_by_keyboard(page, "vectors")
        for name in ("n", "pair"):
            page.tab_to(name)
            page.retype("")
        page.hold(CONTROL, ENTER)
        page.wait_for(lambda: invalid(page))
        assert invalid(page) == [["n", "a value is missing"], ["pair", "a value is missing"]]
        assert page.focused() == "n"

    def test_of_lists_that_are_none(self, page: Browser) -> None:
        """Half a list, and one of another length: the server says what it expects."""
        open_by_keyboard(page, "vectors")
        for text, reason in (("[1,", "got '[1,'"), ("[1,2,3]", "[3]")):
            page.run("document.activeElement.blur()")
            page.tab_to("pair")
            page.retype(text)
            page.hold(CONTROL, ENTER)
            page.wait_for(lambda reason=reason: invalid(page) and reason in invalid(page)[0][1])

    def test_of_a_server_that_is_gone(self, browser: Browser, folder: Path) -> None:
        """The page says so, and keeps what was typed."""
        (folder / "alone.yaml").write_text("Models: [{ID: food, URL: 'python:food.py:Model'}]")
        with Daemon(folder / "alone.yaml") as daemon:
            daemon.wait_ready()
            browser.open(daemon.url)
            browser.wait_for(lambda: browser.text("#summary") == "The model serves.")
        browser.wait_for(lambda: "does not answer" in browser.text("#summary"))
        assert browser.text("h2") == "food"
        browser.open("about:blank")  # else it would go on asking, and complain in what follows
        refused = browser.console()
        assert refused
        assert all("ERR_CONNECTION_REFUSED" in line for line in refused)


class TestValues:
    def test_lists_and_large_numbers_arrive_as_typed(self, page: Browser) -> None:
        """JavaScript's numbers have 53 bits; neither the request nor the answer goes through them."""
        open_by_keyboard(page, "vectors")
        page.tab_to("pair")
        page.retype("[0.1, 1e-7]")
        page.tab_to("n")
        page.retype("9007199254740993")
        page.press(ENTER)
        found = answer(page, "vectors")
        assert found["same"].replace(" ", "") in ("[0.1,1e-7]", "[0.1,1e-07]")
        assert found["large"] == "9007199254740993"

    def test_an_optional_input_that_is_empty_is_left_out(self, page: Browser) -> None:
        """Its default counts, as it does for callers."""
        open_by_keyboard(page, "food")
        page.tab_to("prey")
        page.retype("")
        page.press(ENTER)
        assert answer(page, "food")["answer"].endswith("of fish")

    def test_shares_of_one_are_drawn(self, page: Browser) -> None:
        """A classifier's answer is read at a glance, and as text by who cannot see it."""
        open_by_keyboard(page, "species")
        page.tab_to("Predict")
        page.press(ENTER)
        found = answer(page, "species")
        assert found["label"] == "Adelie"
        assert found["Adelie"].strip() == "0.75"
        widths = (
            "return [...document.querySelectorAll('.bar i')].map((bar) => bar.offsetWidth / bar.parentNode.offsetWidth)"
        )
        assert page.run(widths) == [pytest.approx(0.75, abs=0.02), pytest.approx(0.25, abs=0.02)]

    def test_words_of_strangers_are_text(self, page: Browser) -> None:
        """Names of inputs, values, answers and errors may hold markup; none of it becomes any."""
        assert MARKUP in page.text("[aria-label=gone] > .trouble")
        open_by_keyboard(page, "hostile")
        page.tab_to(MARKUP)
        page.retype(MARKUP)
        page.press(ENTER)
        assert answer(page, "hostile")[MARKUP] == MARKUP
        assert page.run("return document.images.length") == 1

    def test_the_request_as_a_command(self, page: Browser, daemon: Daemon) -> None:
        """It can be sent to a colleague."""
        open_by_keyboard(page, "food")
        page.tab_to("Predict")
        page.press(ENTER)
        answer(page, "food")
        page.tab_to("As a command")
        page.press(ENTER)
        url = f"{daemon.url}/v1/api/model/food/eval"
        assert page.text("#panel-food details[open] pre") == f'curl -d \'{{"grams":4000,"prey":"krill"}}\' {url}'


class TestLife:
    def test_a_model_that_loads_comes_to_serve(self, page: Browser, folder: Path, keep: Show) -> None:
        """Without loading the page again; who listens is told."""
        state = "[aria-label=late] .state"
        page.tab_to("late")
        page.press(ENTER)
        assert page.text(state) == "Loading"
        assert "first version" in page.text("#panel-late .note")
        keep("loading")
        (folder / "go").touch()
        page.wait_for(lambda: page.text(state) == "Serving")
        assert page.run("return document.getElementById('news').textContent") == "late: Serving"
        page.wait_for(lambda: page.text("#panel-late .run"))
        assert page.text("#summary") == "5 of 6 models serve."

    def test_a_model_that_does_not_load_says_why(self, page: Browser) -> None:
        """Without a look into the log."""
        assert page.text("[aria-label=gone] .state") == "Not serving"
        assert page.text("[aria-label=gone] > .trouble") != ""

    def test_a_new_version_keeps_what_was_typed(self, page: Browser, folder: Path) -> None:
        """A reload of the model is none of the page."""
        before = page.text("[aria-label=food] .generation")
        open_by_keyboard(page, "food")
        page.tab_to("grams")
        page.retype("7000")
        write_food(folder, "kilos")
        page.wait_for(lambda: page.text("[aria-label=food] .generation") != before)
        typed = "return document.getElementById('food-0')?.value"
        page.wait_for(lambda: page.run(typed) == "7000")
        page.run("document.getElementById('food-0').form.requestSubmit()")
        page.wait_for(lambda: answer(page, "food").get("answer") == "7.00 kilos of krill")
        write_food(folder, "kg")
        page.wait_for(lambda: page.text("[aria-label=food] .generation") == before)

    def test_a_link_opens_a_model(self, browser: Browser, daemon: Daemon) -> None:
        """For a colleague."""
        browser.open(f"{daemon.url}/#species")
        browser.wait_for(lambda: browser.text("#panel-species .run"))


class TestLooks:
    @pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
    @pytest.mark.parametrize("width", [320, 700, 1200])
    def test_fits(self, page: Browser, keep: Show, width: int, dark: bool) -> None:
        """Nothing is cut off or has to be scrolled to sideways, and text stands out from its ground."""
        page.resize(width, 1400, dark=dark)
        open_by_keyboard(page, "food")
        page.tab_to("Predict")
        page.press(ENTER)
        answer(page, "food")
        page.run("scrollTo(0, 0)")
        keep(f"{width}-{'dark' if dark else 'light'}")
        assert page.run("return document.documentElement.scrollWidth <= innerWidth")
        ground, ink = page.run("const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]")
        brighter, darker = (ink, ground) if dark else (ground, ink)
        assert brightness(brighter) - brightness(darker) > 150


def brightness(colour: str) -> float:
    """Of ``rgb(…)``: 0 is black, 255 white."""
    red, green, blue = map(int, re.findall(r"\d+", colour))
    return 0.299 * red + 0.587 * green + 0.114 * blue
