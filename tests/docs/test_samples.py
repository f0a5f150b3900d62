"""Whatever a reader copies from README and docs works: each command is run, each answer compared.

Commands of one page run in order, in a copy of what the repository ships, against a real daemon: that of
``config.example.yaml``, or of the ``config.yaml`` that the page itself holds.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlserve.config.load import parse_config
from mlserve.config.schema import Config
from tests.support.daemon import Daemon, running
from tests.support.markdown import PAGES, ROOT, Block, Step, blocks, steps

DOCUMENTED = "http://127.0.0.1:8086"
PATIENCE_S = 20.0
"""How long an answer may take to become what the page says: a reload is on its way."""

BLOCKS = [block for page in PAGES for block in blocks(page)]
OWN_CONFIG = {block.page for block in BLOCKS if block.file == "config.yaml"}
BESIDE_A_STORE = {ROOT / "docs" / "moving-from-mly.md"}
"""Pages that need more than a daemon; each has a test of its name that follows it."""
KINDS = {"console", "yaml", "yaml kubernetes", "python", "log", "text", ""}

_VOLATILE = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\b[0-9a-f]{64}\b", "<digest>"),
        (r"generation [0-9a-f]{12}\b", "generation <digits>"),
        (r"loaded in \d+\.\d+ s", "loaded in <seconds>"),
        (r"next try in \d+ s", "next try in <seconds>"),
        (r"(onnxruntime|tensorflow|python) \d[\w.+]*", r"\1 <version>"),
        (r"\.py [0-9a-f]{16}\b", ".py <digits>"),
        (r"^\d\d:\d\d:\d\d", "<time>"),
        (r"\d+\.\d+ MB", "<size>"),
        (r"[─━]+", ""),
        (r'"(serviceTimeMcs|dictHash)":-?\d+', r'"\1":<number>'),
        (r"[ \t]+", " "),
    )
]


def steady(text: str) -> list[str]:
    """The lines of ``text`` without what differs from run to run: versions, times, digests, the width of columns."""
    lines = []
    for line in text.splitlines():
        for pattern, replacement in _VOLATILE:
            line = pattern.sub(replacement, line)
        lines.append(line.strip())
    return [line for line in lines if line]


def answers(expected: str, actual: str) -> bool:
    """True if ``actual`` is what the page shows. ``...`` stands for any lines, ``…`` for any text in a line."""
    try:
        return alike(json.loads(expected), json.loads(actual))
    except ValueError:
        pattern = [r"(?:.*\n)*?" if line == "..." else _line(line) + "\n" for line in steady(expected)]
        return re.fullmatch("".join(pattern), "".join(f"{line}\n" for line in steady(actual))) is not None


def _line(line: str) -> str:
    return ".*".join(map(re.escape, line.split("…")))


def alike(expected: Any, actual: Any, name: str = "") -> bool:
    """Equal but for measured times and version numbers; floats as close as another processor makes them."""
    if name in ("serviceTimeMcs", "dictHash"):
        return type(actual) is int
    if isinstance(expected, dict) and isinstance(actual, dict):
        return list(expected) == list(actual) and all(alike(expected[key], actual[key], key) for key in expected)
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(alike, expected, actual))
    if isinstance(expected, float):
        return isinstance(actual, float) and math.isclose(expected, actual, rel_tol=1e-4)
    return bool(expected == actual)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ('{"a":1.5,"serviceTimeMcs":3}', '{"a":1.50001,"serviceTimeMcs":99}', True),
        ('{"a":1.5}', '{"a":1.6}', False),
        ('{"a":1}', '{"a":1,"b":2}', False),
        ('[{"a":"x"}]', '[{"a":"y"}]', False),
        ("HTTP/1.1 200 OK\n...\nlast", "HTTP/1.1 200 OK\nDate: now\nlast", True),
        ("first\nlast", "first\nmore\nlast", False),
        ("a: …/b", "a: /tmp/b", True),
        ("m serves: python 3.11.7, loaded in 0.01 s", "m serves: python 3.13.1, loaded in 1.20 s", True),
        ("m serves: python 3.11.7", "n serves: python 3.11.7", False),
        ("", "curl: command not found", False),
    ],
)
def test_the_comparison_tells_right_from_wrong(expected: str, actual: str, same: bool) -> None:
    """Everything below rests on it."""
    assert answers(expected, actual) is same


class Reader:
    """Somebody who works through pages in one folder, beside one daemon."""

    def __init__(self, folder: Path, daemon: Daemon) -> None:
        self.folder = folder
        self.daemon = daemon
        # What a person has: our commands on the path, and a curl that shows no progress.
        (folder / ".curlrc").write_text("silent\nshow-error\n")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._terminal = {"PATH": path, "CURL_HOME": str(folder), "COLUMNS": "120", "LC_ALL": "C.UTF-8"}
        self._terminal["MLSERVE_URL"] = daemon.url

    def follow(self, step: Step) -> None:
        """Run the command; fails if it does not answer what the page says."""
        if step.command.startswith("make "):
            self._make(step)
            return
        deadline = time.monotonic() + PATIENCE_S
        actual = self._run(step.command)
        while not answers(step.expected, actual) and step.command.startswith("curl ") and time.monotonic() < deadline:
            time.sleep(0.2)  # another process reloads: ask it again
            actual = self._run(step.command)
        assert answers(step.expected, actual), (
            f"{step.block}: $ {step.command}\nsaid\n{actual}\nand not\n{step.expected}"
        )

    def write(self, block: Block) -> None:
        """Save the file that ``block`` is."""
        assert block.file is not None
        (self.folder / block.file).write_text(block.text.replace(DOCUMENTED, self.daemon.url))

    def expect_log(self, lines: str) -> None:
        """Each of ``lines`` stands in the daemon's log, whatever the order."""
        for line in steady(lines):
            self.daemon.wait_until(lambda line=line: line in steady(self._documented("\n".join(self.daemon.log))))

    def _make(self, step: Step) -> None:
        """Setting up anew takes minutes, so make is asked for its plan; serve's must end with how our daemon began."""
        plan = subprocess.run(
            ["bash", "-c", f"make --no-print-directory --dry-run {step.command.removeprefix('make ')}"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=os.environ | {"MAKEFLAGS": ""},
            check=True,
        )
        if step.command == "make serve":
            assert shlex.split(plan.stdout.splitlines()[-1])[1:] == ["-c", "config.example.yaml"]
        self.expect_log(step.expected)

    def _run(self, command: str) -> str:
        outcome = subprocess.run(
            ["bash", "-c", command.replace(DOCUMENTED, self.daemon.url)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=os.environ | self._terminal,
            timeout=60,
            check=False,
        )
        return self._documented(outcome.stdout)

    def _documented(self, text: str) -> str:
        return text.replace(self.daemon.url, DOCUMENTED)


@pytest.fixture(scope="module")
def beside_examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """The daemon that ``make serve`` starts."""
    folder = shipped(tmp_path_factory.mktemp("examples"))
    with running(folder / "config.example.yaml") as daemon:
        yield Reader(folder, daemon)


def shipped(folder: Path) -> Path:
    """A copy of what commands in the docs refer to."""
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "config.example.yaml", folder)
    return folder


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", [page for page in PAGES if page not in OWN_CONFIG and any(steps(page))], ids=name_of)
def test_commands_answer_what_the_page_says(page: Path, beside_examples: Reader) -> None:
    """A reader's first command fails, or answers something else."""
    for block in blocks(page):
        if block.file:
            beside_examples.write(block)
    for step in steps(page):
        beside_examples.follow(step)
    for block in blocks(page):
        if block.kind == "log":
            beside_examples.expect_log(block.text)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", sorted(OWN_CONFIG - BESIDE_A_STORE), ids=name_of)
def test_pages_with_a_configuration_of_their_own(page: Path, tmp_path: Path) -> None:
    """The files a page shows do not work together as it says."""
    shipped(tmp_path)
    for block in blocks(page):
        if block.file:
            (tmp_path / block.file).write_text(block.text)
    with Daemon(tmp_path / "config.yaml") as daemon:
        reader = Reader(tmp_path, daemon)
        for step in steps(page):
            reader.follow(step)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.kind == "yaml"], ids=str)
def test_yaml_is_a_configuration(block: Block) -> None:
    """A key in a sample is misspelt, or was renamed since."""
    environ = dict.fromkeys(re.findall(r"\$\{(\w+)", block.text), "1")
    loaded = parse_config(block.text, place=str(ROOT / "config.yaml"), environ=environ)
    assert isinstance(loaded.config, Config)
    for model in loaded.config.models:
        if not model.url.startswith("python:") and block.file is None:
            assert (ROOT / model.url).exists()


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.kind == "python"], ids=str)
def test_python_is_used_by_its_page(block: Block) -> None:
    """A sample that no configuration and no command names is a sample that nobody has run."""
    assert block.file is not None
    named = [other.text for other in blocks(block.page) if other.file == "config.yaml"]
    assert any(block.file in text for text in [*named, *(step.command for step in steps(block.page))])


def test_probes_ask_routes_that_there_are(beside_examples: Reader) -> None:
    """Kubernetes would restart a server for a path that somebody renamed."""
    (block,) = (block for block in BLOCKS if block.kind == "yaml kubernetes")
    for probe in yaml.safe_load(block.text).values():
        assert beside_examples.daemon.get(probe["httpGet"]["path"])[0] == 200


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    """Others would be samples that nobody runs; pictures have no kind, and ``text`` is what a machine once said."""
    assert {block.kind for block in BLOCKS} <= KINDS
    assert [str(block) for block in BLOCKS if block.kind == "" and "|" not in block.text] == []


def test_named_extras_exist() -> None:
    """``pip install`` only warns about an extra that there is not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {extra for page in PAGES for extra in re.findall(r"'\.\[(\w+)\]'", page.read_text())}
    assert named >= {"tensorflow", "s3", "gcs", "all"}
    assert named <= project["optional-dependencies"].keys()
