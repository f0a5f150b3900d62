"""``mlserve eval`` as people run it, against a real daemon, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Mlserve
from tests.support.daemon import Daemon, running
from tests.support.fake_server import Script, answering, faking, predicted, refused, reply

SERVED = """
class Echo:
    signature = {
        "inputs": {"x": "float32[-1]", "word": "string[-1]", "pair": "int64[-1,2]"},
        "outputs": {"y": "float32[-1]", "word": "string[-1]", "sum": "int64[-1]"},
    }

    def predict(self, inputs):
        if (inputs["x"] < 0).any():
            raise ValueError("negative")
        return {"y": inputs["x"] * 2, "word": inputs["word"], "sum": inputs["pair"].sum(axis=1)}


class Whole:
    signature = {"inputs": {"x": "float32[2]"}, "outputs": {"y": "float32[2]"}}

    def predict(self, inputs):
        return {"y": inputs["x"] * 2}
"""
CONFIG = """
Models:
  - ID: echo
    URL: python:served.py:Echo
    Inputs: [{Name: word, Default: none}, {Name: pair, Default: [0, 0]}]
  - {ID: strict, URL: "python:served.py:Echo"}
  - {ID: whole, URL: "python:served.py:Whole"}
"""
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "served.py").write_text(SERVED)
    (folder / "config.yaml").write_text(CONFIG)
    with running(folder / "config.yaml") as daemon:
        yield daemon


@pytest.fixture
def ask(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """``mlserve eval`` asks the daemon."""
    monkeypatch.setenv("MLSERVE_URL", daemon.url)


@contextmanager
def misbehaving(script: Script) -> Iterator[str]:
    """The URL of a server of ours, on a loop and thread of its own: the command brings its own loop."""
    loop = asyncio.new_event_loop()
    ready, done = threading.Event(), asyncio.Event()
    url = ""

    async def serve() -> None:
        nonlocal url
        async with faking(script) as server:
            url = server.url
            ready.set()
            await done.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(PATIENCE_S)
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


def lines(*arguments: str, url: str, text: str | bytes) -> subprocess.CompletedProcess[bytes]:
    """A run with standard input, as a process: it reads and writes real file descriptors."""
    return subprocess.run(
        [sys.executable, "-m", "mlserve", "eval", "--url", url, *arguments],
        input=text if isinstance(text, bytes) else text.encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )


pytestmark = pytest.mark.usefixtures("ask")


class TestOne:
    """One prediction."""

    def test_its_outputs_are_one_line_of_json(self, mlserve: Mlserve) -> None:
        outcome = mlserve("eval", "echo", "x=1.5", "word=Dream", "pair=[2,3]")
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out == '{"y":3.0,"word":"Dream","sum":5}\n'

    @pytest.mark.parametrize("word", ["123", "1.50", "true", "null", "[1,2]", "{}", "18446744073709551616", "@at"])
    def test_a_text_may_look_like_anything(self, mlserve: Mlserve, word: str) -> None:
        """This also holds the client to the words by which the server names an input."""
        typed = f'"{word}"' if word.startswith("@") else word
        outcome = mlserve("eval", "strict", "x=1", "pair=[0,0]", f"word={typed}")
        assert (outcome.code, outcome.err) == (0, "")
        assert json.loads(outcome.out)["word"] == word

    def test_null_is_a_default(self, mlserve: Mlserve) -> None:
        assert json.loads(mlserve("eval", "echo", "x=1", "word=null").out)["word"] == "none"

    def test_several_rows_are_a_list(self, mlserve: Mlserve) -> None:
        outcome = mlserve("eval", "echo", "x=[1,2]", "word=a")
        assert outcome.out == '[{"y":2.0,"word":"a","sum":0},{"y":4.0,"word":"a","sum":0}]\n'

    def test_a_value_comes_from_a_file(self, mlserve: Mlserve) -> None:
        Path("pair.json").write_text("[20, 22]\n")
        assert json.loads(mlserve("eval", "echo", "x=1", "pair=@pair.json").out)["sum"] == 42

    def test_pretty_is_indented(self, mlserve: Mlserve) -> None:
        assert mlserve("eval", "echo", "x=1", "--pretty").out == '{\n  "y": 2.0,\n  "word": "none",\n  "sum": 0\n}\n'

    def test_raw_is_the_whole_answer(self, mlserve: Mlserve) -> None:
        raw = mlserve("eval", "echo", "x=1", "--raw").out
        assert list(json.loads(raw)) == ["status", "dictHash", "serviceTimeMcs", "data"]
        assert raw.count("\n") == 1
        assert mlserve("eval", "echo", "x=1", "--raw", "--pretty").out.startswith('{\n  "status": "ok",\n')


class TestProblems:
    """One line that says what is wrong, exit code 1, and no traceback."""

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            ("ecko x=1", "ecko: no model of that id is configured; did you mean 'echo'?"),
            ("echo x=abc", "echo: field 'x': expected a number (float32), got 'abc'"),
            ("strict x=1 wird=a", "strict: failed to build request due to missing fields: [pair word]"),
            ("echo x=1 pair=[1]", "echo: field 'pair': "),
            ("echo x=-1", "echo: "),
            ("echo x=@nothing.json", "x: cannot read nothing.json: No such file or directory"),
        ],
    )
    def test_what_the_server_says_is_told(self, mlserve: Mlserve, arguments: str, line: str) -> None:
        outcome = mlserve("eval", *arguments.split())
        assert (outcome.code, outcome.out) == (1, "")
        assert outcome.err.startswith(f"mlserve: {line}")
        assert outcome.err.count("\n") == 1

    def test_nobody_there_is_told_with_what_to_do(self, mlserve: Mlserve) -> None:
        with socket.socket() as taken:  # bound and not listening: nobody else can take the port
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}"
            outcome = mlserve("eval", "echo", "x=1", "--url", url)
        assert outcome.code == 1
        assert outcome.err == (
            f"mlserve: no connection to {url}: connection refused; "
            "start a server with  mlserve -c config.yaml  or say with --url where it is\n"
        )

    def test_overload_is_waited_out(self, mlserve: Mlserve) -> None:
        script = answering(refused(429, "overloaded", "full", retry_after="0"), predicted({"y": 1}))
        with misbehaving(script) as url:
            assert mlserve("eval", "m", "--url", url).out == '{"y":1}\n'

    @pytest.mark.parametrize(
        ("answer", "line"),
        [
            (refused(429, "overloaded", "full", retry_after="9"), "m: full; --timeout keeps asking for longer"),
            (refused(503, "not_ready", "loading", retry_after="9"), "m: loading; --timeout keeps asking for longer"),
            (refused(504, "deadline_exceeded", "too late"), "m: too late"),
            (reply(200, b"{gar\x1b[2Jbage"), "what URL answered is no prediction: is it an mlserve?"),
            (
                reply(200, b'{"status":"ok","data":' + b"[" * 400 + b"]" * 400 + b"}"),
                "the answer is nested too deep to be written; --raw shows it as it came",
            ),
            (reply(502, b"<html>"), "m: URL answered 502 Reason"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "URL closed the connection before its answer was whole"),
        ],
    )
    def test_a_server_that_will_not_is_told(self, mlserve: Mlserve, answer: bytes, line: str) -> None:
        with misbehaving(answering(answer)) as url:
            outcome = mlserve("eval", "m", "--url", url, "--timeout", "5")
        assert (outcome.code, outcome.out) == (1, "")
        assert outcome.err == f"mlserve: {line.replace('URL', url)}\n"

    def test_silence_is_told_after_the_timeout(self, mlserve: Mlserve) -> None:
        async def silent(asked: object) -> bytes:
            await asyncio.Event().wait()
            raise AssertionError

        with misbehaving(silent) as url:
            outcome = mlserve("eval", "m", "--url", url, "--timeout", "0.2")
        assert outcome.err == f"mlserve: no answer from {url} within 0.2 s; --timeout waits longer\n"

    def test_a_password_is_not_shown(self, mlserve: Mlserve) -> None:
        outcome = mlserve("eval", "m", "--url", "http://me:s3cret@127.0.0.1:1")
        assert outcome.code == 1
        assert "s3cret" not in outcome.err


def test_ctrl_c_while_it_waits_for_one_answer_is_no_success_and_no_traceback() -> None:
    arrived = threading.Event()

    async def silent(asked: object) -> bytes:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    with misbehaving(silent) as url:
        command = [sys.executable, "-m", "mlserve", "eval", "--url", url, "m"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            assert arrived.wait(PATIENCE_S)
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_S) == 130
            assert process.stdout is not None
            assert process.stdout.read() == b""


def test_it_starts_without_the_rooms_of_the_server() -> None:
    """Somebody who asks in a loop would pay for numpy and pydantic each time."""
    code = (
        "import sys, mlserve.cli, mlserve.commands.eval; print([m for m in ('numpy', 'pydantic') if m in sys.modules])"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert outcome.stdout == "[]\n"


class TestLines:
    """Rows as JSON lines."""

    def test_each_row_is_answered_in_its_place(self, daemon: Daemon) -> None:
        rows = [{"x": x, "word": str(x)} for x in range(1000)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        outcome = lines("echo", "-", "pair=[1,2]", url=daemon.url, text=text)
        assert outcome.returncode == 0
        answers: list[dict[str, Any]] = [json.loads(line) for line in outcome.stdout.splitlines()]
        assert answers == [{"y": 2 * x, "word": str(x), "sum": 3} for x in range(1000)]
        assert outcome.stderr.startswith(b"1,000 rows in ")

    def test_failed_rows_are_told_by_line_and_the_others_answered(self, daemon: Daemon) -> None:
        text = b'{"x":1}\n{"x":"much"}\n\xff\n{"x":-1}\n{"x":2,"word":null}\n{"x":3,"wurd":"a"}\n{"x":4}'
        outcome = lines("echo", "-", url=daemon.url, text=text)
        assert outcome.returncode == 1
        answers = [json.loads(line) for line in outcome.stdout.splitlines()]
        assert [answer and answer["y"] for answer in answers] == [2, None, None, None, 4, None, 8]
        told = outcome.stderr.decode().splitlines()
        assert [line.partition(":")[0] for line in told[:-1]] == ["line 2", "line 3", "line 4", "line 6"]
        assert "'wurd' (did you mean 'word'?)" in told[3]
        assert told[-1].endswith("4 failed")

    def test_a_model_served_whole_takes_a_line_at_a_time(self, daemon: Daemon) -> None:
        outcome = lines("whole", "-", url=daemon.url, text='{"x":[1,2]}\n{"x":[3,4]}\n')
        assert outcome.returncode == 0
        assert outcome.stdout == b'{"y":[2.0,4.0]}\n{"y":[6.0,8.0]}\n'

    def test_fail_fast_ends_with_the_first_failure(self, daemon: Daemon) -> None:
        outcome = lines("echo", "-", "--fail-fast", url=daemon.url, text='{"x":1}\n{"x":"a"}\n{"x":2}\n')
        assert (outcome.returncode, outcome.stdout.count(b"\n")) == (1, 1)
        assert outcome.stderr.startswith(b"line 2: ")

    def test_a_model_that_there_is_not_is_told_once(self, daemon: Daemon) -> None:
        outcome = lines("ecko", "-", url=daemon.url, text='{"x":1}\n' * 1000)
        assert (outcome.returncode, outcome.stdout) == (1, b"")
        assert b"did you mean 'echo'" in outcome.stderr.splitlines()[-1]
        assert len(outcome.stderr.splitlines()) == 2

    def test_a_wrong_count_of_answers_is_told(self) -> None:
        with misbehaving(answering(predicted([{"y": 1}]))) as url:
            outcome = lines("m", "-", url=url, text='{"x":1}\n{"x":2}\n{"x":3}\n')
        assert (outcome.returncode, outcome.stdout) == (1, b"")
        assert outcome.stderr.endswith(b"mlserve: m was asked for 3 rows and answered 1\n")

    def test_head_ends_an_endless_input_quietly(self, daemon: Daemon) -> None:
        command = f"yes '{{\"x\":1}}' | {sys.executable} -m mlserve eval --url {daemon.url} echo - | head -n 2"
        outcome = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, check=False)
        assert outcome.stdout == b'{"y":2.0,"word":"none","sum":0}\n' * 2
        assert outcome.stderr == b""

    def test_ctrl_c_ends_it_at_once_without_a_traceback(self, daemon: Daemon) -> None:
        """It waits for a line that never comes; what was answered is there."""
        process = subprocess.Popen(
            [sys.executable, "-m", "mlserve", "eval", "--url", daemon.url, "echo", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdin.write(b'{"x":1}\n')
            process.stdin.flush()
            assert process.stdout.readline() == b'{"y":2.0,"word":"none","sum":0}\n'
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_S) == 130
            said = process.stderr.read()
        assert said.startswith(b"1 row in ")
        assert said.endswith(b" rows/s, stopped\n")

    def test_a_person_who_types_is_told_how_and_answered_line_by_line(self, daemon: Daemon) -> None:
        ours, theirs = os.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "mlserve", "eval", "--url", daemon.url, "echo", "-"],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        os.close(theirs)
        with process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stderr.readline() == b"type one JSON object per line; Ctrl-D ends\n"
            for x in (1, 2):
                os.write(ours, b'{"x":%d}\n' % x)
                assert process.stdout.readline() == b'{"y":%d.0,"word":"none","sum":0}\n' % (2 * x)
            os.write(ours, b"\x04")
            assert process.wait(PATIENCE_S) == 0
        os.close(ours)

    def test_a_closed_input_is_told(self, daemon: Daemon) -> None:
        command = f"{sys.executable} -m mlserve eval --url {daemon.url} echo - <&-"
        outcome = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, check=False)
        assert (outcome.returncode, outcome.stdout) == (1, b"")
        assert outcome.stderr == b"mlserve: standard input or output is closed\n"
