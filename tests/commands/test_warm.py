"""``mlserve warm`` as people run it: real files, a real model, and a cache on a real disk."""

from __future__ import annotations

import gzip
import json
import logging
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlserve.inference import failure
from tests.support.command import Mlserve
from tests.support.daemon import running

MODEL = """
import random

class Echo:
    signature = {"inputs": {"x": "float32[-1]", "word": "string[-1]"}, "outputs": {"y": "float32[-1]"}}

    def predict(self, inputs):
        if (inputs["x"] < 0).any():
            raise ValueError("lighter than nothing")
        return {"y": inputs["x"] * 2}


class Moody(Echo):
    deterministic = False
"""
CONFIG = """
Endpoint: {Port: 0}
Models:
- ID: echo
  URL: python:model.py:Echo
  DataStore: hot
  Inputs: [x, {Name: word, Default: none}]
  Test: {Single: {x: 1}}
Datastores:
- {ID: hot, Cache: {SizeMB: 8}, Connection: disk}
Connections:
- {ID: disk, URL: "lmdb:./cache"}
"""
PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def _causes_in_the_log() -> Iterator[None]:
    """The command does without them; it is a process of its own elsewhere."""
    yield
    failure.logger.setLevel(logging.NOTSET)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration, and its model."""
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "c.yaml").write_text(CONFIG)
    return tmp_path


def counts(line: str) -> str:
    """The line of counts, without its time."""
    assert line.count("\n") == 1
    head, _, time = line.partition(", in ")
    assert time.endswith(" s\n")
    return head


def warm(folder: Path, text: bytes) -> subprocess.CompletedProcess[bytes]:
    """A run with standard input, as a process."""
    command = [sys.executable, "-m", "mlserve", "warm", "-c", "c.yaml", "--rows", "-"]
    return subprocess.run(command, input=text, capture_output=True, cwd=folder, timeout=60, check=False)


def test_a_server_starts_with_what_was_warmed(folder: Path, mlserve: Mlserve) -> None:
    """That is what it is for: the first caller is answered from the disk."""
    (folder / "rows.jsonl").write_text('{"x": 1.5}\n{"x": 2, "word": "a"}\n{"x": 1.50}\n')
    outcome = mlserve("warm", "-c", "c.yaml", "--rows", "rows.jsonl")
    assert (outcome.code, outcome.err) == (0, "")
    assert counts(outcome.out) == "3 rows read: 0 already stored, 3 computed, 0 refused"
    with running(folder / "c.yaml") as daemon:
        daemon.wait_for_log("connection disk .* is up")
        url = f"{daemon.url}/v1/api/model/echo/eval?x="
        found = []
        for row in ("1.5", "2&word=a", "2"):
            with urllib.request.urlopen(url + row, timeout=PATIENCE_S) as answer:
                found.append((json.load(answer)["data"]["y"], answer.headers["Cache-Status"].partition("; ttl")[0]))
    assert found == [(3.0, "l1; hit"), (4.0, "l1; hit"), (4.0, "mlserve; fwd=miss; stored")]


def test_what_is_stored_already_is_not_computed_again(folder: Path, mlserve: Mlserve) -> None:
    """A run that was stopped goes on where it was, at the cost of a read a row; formats and packing do not matter."""
    (folder / "rows.jsonl").write_text("".join(f'{{"x": {x}, "word": "w,{x}"}}\n' for x in range(1000)))
    csv = "word,x,day\n" + "".join(f'"w,{x}",{x},monday\n' for x in range(500, 1500))
    (folder / "rows.csv.gz").write_bytes(gzip.compress(csv.encode()))
    first = mlserve("warm", "-c", "c.yaml", "--rows", "rows.jsonl", "--batch", "300")
    assert counts(first.out) == "1,000 rows read: 0 already stored, 1,000 computed, 0 refused"
    second = mlserve("warm", "-c", "c.yaml", "--rows", "rows.csv.gz", "--model", "echo")
    assert second.code == 0
    assert counts(second.out) == "1,000 rows read: 500 already stored, 500 computed, 0 refused"
    assert second.err == "note: columns that are no inputs of the model: day\n"


def test_refused_rows_cost_the_others_nothing(folder: Path, mlserve: Mlserve) -> None:
    """Each is told by its line, with the cause that the model gave and no traceback; the exit code is 1."""
    (folder / "rows.jsonl").write_text('{"x": 1}\n{"x": -1}\n{"x": "heavy"}\n\n{"x": 2}\n{"x": 1\n')
    outcome = mlserve("warm", "-c", "c.yaml", "--rows", "rows.jsonl")
    assert outcome.code == 1
    assert counts(outcome.out) == "5 rows read: 0 already stored, 2 computed, 3 refused"
    negative, heavy, broken = outcome.err.splitlines()
    assert negative == "line 2: ValueError: lighter than nothing"
    assert heavy == "line 3: field 'x': expected a number (float32), got 'heavy'"
    assert broken.startswith("line 6: invalid JSON at byte ")
    again = mlserve("warm", "-c", "c.yaml", "--rows", "rows.jsonl")
    assert counts(again.out) == "5 rows read: 2 already stored, 0 computed, 3 refused"


def test_rows_come_from_a_pipe(folder: Path) -> None:
    """A query of the log needs no file; and, as a process of its own, nothing is said but what is to be said."""
    outcome = warm(folder, gzip.compress(b"x\n1\n2\n,\n"))
    assert outcome.returncode == 1
    assert counts(outcome.stdout.decode()) == "3 rows read: 0 already stored, 2 computed, 1 refused"
    assert outcome.stderr == b"line 4: 2 cells, expected 1 as in the header\n"
    nothing = warm(folder, b"")
    assert (nothing.returncode, nothing.stderr) == (0, b"")
    assert counts(nothing.stdout.decode()) == "0 rows read: 0 already stored, 0 computed, 0 refused"


def test_a_rate_is_held(folder: Path, mlserve: Mlserve) -> None:
    """Rows beyond the first second's wait; the command itself measures it."""
    (folder / "rows.csv").write_text("x\n" + "".join(f"{x}\n" for x in range(15)))
    outcome = mlserve("warm", "-c", "c.yaml", "--rows", "rows.csv", "--rate", "50", "--batch", "5")
    assert outcome.code == 0
    assert float(outcome.out.rpartition(", in ")[2].removesuffix(" s\n")) >= 0.19


def test_it_ends_at_ctrl_c(folder: Path) -> None:
    """While it waits for rows: what was read is kept, and that it was stopped is told."""
    command = [sys.executable, "-m", "mlserve", "warm", "-c", "c.yaml", "--rows", "-", "--batch", "1", "--rate", "1000"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b'{"x": 1}\n{"x": "heavy"}\n')
        process.stdin.flush()
        assert process.stderr.readline().startswith(b"line 2: ")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
        said = process.stdout.read()
        assert said.startswith(b"2 rows read: 0 already stored, 1 computed, 1 refused, in ")
        assert said.endswith(b" s, stopped\n")
        assert process.stderr.read() == b""
    assert warm(folder, b'{"x": 1}\n').stdout.startswith(b"1 row read: 1 already stored, ")


@pytest.mark.parametrize(
    ("change", "arguments", "line"),
    [
        (("Connection: disk", "ReadOnly: false"), "", "mlserve: no model is configured that can be warmed"),
        (("Connection: disk", "ReadOnly: false"), "--model echo", "mlserve: echo: its DataStore hot keeps answers in"),
        (("", ""), "--model ecko", "mlserve: ecko: no model of that id is configured; did you mean 'echo'?"),
        (
            ("py:Echo", "py:Moody"),
            "",
            "mlserve: c.yaml:4: echo: its answers are not cached, so it cannot be warmed: equal",
        ),
        (("model.py:Echo", "gone.py:Echo"), "", "mlserve: c.yaml:4: echo: "),
        (("", ""), "--rows gone.jsonl", "mlserve: gone.jsonl cannot be read: No such file or directory"),
        (
            ("", ""),
            "--rows c.yaml",
            "mlserve: c.yaml: expected JSON objects, or a header, separated by commas, that names",
        ),
        (("./cache", "./c.yaml/cache"), "", "mlserve: connection disk: "),
        (("Port: 0", "Prt: 0"), "", "mlserve: c.yaml:2: Endpoint.Prt: unknown key; did you mean Port?"),
    ],
)
def test_what_cannot_be_warmed_is_told(
    folder: Path, mlserve: Mlserve, change: tuple[str, str], arguments: str, line: str
) -> None:
    """In one line that says what to do, before anything is computed."""
    (folder / "c.yaml").write_text(CONFIG.replace(*change))
    (folder / "rows.jsonl").write_text('{"x": 1}\n')
    outcome = mlserve("warm", "-c", "c.yaml", "--rows", "rows.jsonl", *arguments.split())
    assert (outcome.code, outcome.out) == (1, "")
    assert line in outcome.err
    assert "Traceback" not in outcome.err


def test_a_disk_that_a_server_uses_is_told(folder: Path, mlserve: Mlserve) -> None:
    """Two processes cannot write to one folder; a person learns which other one does."""
    (folder / "rows.jsonl").write_text('{"x": 1}\n')
    with running(folder / "c.yaml") as daemon:
        outcome = mlserve("warm", "-c", "c.yaml", "--rows", "rows.jsonl")
        assert f"in use by another mlserve (process {daemon.process.pid})" in outcome.err
    assert outcome.code == 1
