"""Headless Chromium, driven by chromedriver's WebDriver protocol in plain JSON over HTTP."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
MISSING: Final = (
    "tests of the page need Chromium and its driver: apt-get install --no-install-recommends chromium chromium-driver"
)
TAB: Final = "\ue004"
SHIFT: Final = "\ue008"
ENTER: Final = "\ue007"
CONTROL: Final = "\ue009"
BACKSPACE: Final = "\ue003"

_ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"
_PATIENCE_S: Final = 20.0
_Found = TypeVar("_Found")


def is_there() -> bool:
    """True if a browser and its driver are installed."""
    return shutil.which("chromedriver") is not None and shutil.which("chromium") is not None


class Browser:
    """One window. Errors of the protocol are :class:`AssertionError` with the driver's words."""

    def __init__(self, session: str) -> None:
        self._session = session

    def command(self, method: str, path: str, body: object = None) -> Any:
        """One WebDriver command of this session; its ``value``."""
        return _call(method, self._session + path, body)

    def open(self, url: str) -> None:
        """Load ``url``; returns when its load event has come."""
        self.command("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: object) -> Any:
        """The value of ``script``, the body of a function."""
        return self.command("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, selector: str) -> str:
        """What the first match shows; empty if there is none or it is hidden."""
        script = "const e = document.querySelector(arguments[0]); return e && e.checkVisibility() ? e.innerText : ''"
        return str(self.run(script, selector)).strip()

    def focused(self) -> str:
        """The accessible name of what has the focus, or its tag: what a screen reader would say."""
        found = self.command("GET", "/element/active")[_ELEMENT]
        return str(
            self.command("GET", f"/element/{found}/computedlabel") or self.command("GET", f"/element/{found}/name")
        )

    def press(self, *keys: str) -> None:
        """Press and release each of ``keys`` in turn; text is typed character by character."""
        strokes = [key for text in keys for key in text]
        actions = [{"type": kind, "value": key} for key in strokes for kind in ("keyDown", "keyUp")]
        self.actions(actions)

    def hold(self, modifier: str, *keys: str) -> None:
        """Press ``keys`` while ``modifier`` is down."""
        inner = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.actions([{"type": "keyDown", "value": modifier}, *inner, {"type": "keyUp", "value": modifier}])

    def actions(self, actions: list[dict[str, str]]) -> None:
        """Perform key actions."""
        self.command("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def tab_to(self, name: str) -> None:
        """Move the focus by the Tab key, until what has that accessible name has it."""
        seen = []
        for _ in range(60):
            self.press(TAB)
            seen.append(self.focused())
            if seen[-1] == name:
                return
        raise AssertionError(f"Tab does not come to {name!r}; it came to {seen}")

    def retype(self, text: str) -> None:
        """Replace what the focused field holds."""
        self.hold(CONTROL, "a")
        self.press(BACKSPACE, text)

    def wait_for(self, condition: Callable[[], _Found], within_s: float = _PATIENCE_S) -> _Found:
        """Until ``condition`` is true; asked every few milliseconds, because it is about another process."""
        deadline = time.monotonic() + within_s
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not in time; the page shows:\n{self.text('body')}")
            time.sleep(0.02)
        return found

    def devtools(self, command: str, **parameters: object) -> Any:
        """One command of Chromium's own protocol."""
        return self.command("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """A viewport of that many pixels, in the light or dark colour scheme."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, file: Path) -> None:
        """What is seen, as a PNG."""
        file.write_bytes(b64decode(self.command("GET", "/screenshot")))

    def console(self) -> list[str]:
        """Errors that the browser has noted since it was asked last: of scripts, of the security policy, of loading."""
        return [entry["message"] for entry in self.command("POST", "/se/log", {"type": "browser"})]


@contextmanager
def open_browser(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile; gone at the end, driver and all."""
    with subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as driver:
        try:
            assert driver.stdout is not None
            said = ""
            while not (match := re.search(r"started successfully on port (\d+)", said)):
                line = driver.stdout.readline()
                assert line, f"chromedriver did not start; it said:\n{said}"
                said += line
            sessions = f"http://127.0.0.1:{match[1]}/session"
            options = {"args": [*FLAGS, f"--user-data-dir={profile}"], "binary": shutil.which("chromium")}
            wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            made = _call("POST", sessions, {"capabilities": {"alwaysMatch": wanted}})
            browser = Browser(f"{sessions}/{made['sessionId']}")
            try:
                yield browser
            finally:
                browser.command("DELETE", "")
        finally:
            driver.terminate()


def _call(method: str, url: str, body: object) -> Any:
    data = json.dumps(body or {}).encode() if method == "POST" else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["value"]
    except urllib.error.HTTPError as error:
        with error:
            raise AssertionError(f"{method} {url}: {json.load(error)['value']['message']}") from None
