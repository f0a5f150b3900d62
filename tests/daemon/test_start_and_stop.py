"""How a process begins and ends: what load balancers, supervisors and people at a terminal rely on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path

import orjson
import pytest

from tests.support.daemon import Daemon, running
from tests.support.versions import write_version

SLOW = """
import time
class Slow:
    signature = {"inputs": {"x": "float32[-1]"}, "outputs": {"y": "float32[-1]"}}
    def predict(self, inputs):
        time.sleep(float(inputs["x"][0]))
        return {"y": inputs["x"]}
"""


@pytest.fixture
def slow_config(tmp_path: Path) -> Path:
    (tmp_path / "slow.py").write_text(SLOW)
    config = tmp_path / "config.yaml"
    config.write_text("Models: [{ID: slow, URL: 'python:slow.py:Slow', Test: {Single: {x: 0}}}]\n")
    return config


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_version(tmp_path / "m.onnx", 1)
    config = tmp_path / "config.yaml"
    config.write_text("Models: [{ID: m, URL: m.onnx}]\n")
    return config


def test_sigterm_loses_nothing_in_flight(slow_config: Path) -> None:
    """A roll-out that cuts requests short would show as errors at the callers."""
    answers: list[int] = []

    def ask(url: str) -> None:
        with urllib.request.urlopen(url, timeout=20) as response:
            answers.append(response.status)

    with running(slow_config) as daemon:
        url = f"{daemon.url}/v1/api/model/slow/eval?x=1"
        callers = [threading.Thread(target=ask, args=(url,)) for _ in range(6)]
        for caller in callers:
            caller.start()
        daemon.wait_until(lambda: 'mlserve_pending_rows{model="slow"} 6.0' in metrics(daemon))
        daemon.process.send_signal(signal.SIGTERM)
        for caller in callers:
            caller.join()
        assert daemon.process.wait(20) == 0
    assert answers == [200] * 6
    assert "stopped" in daemon.log[-1]


def metrics(daemon: Daemon) -> str:
    with urllib.request.urlopen(f"{daemon.url}/metrics", timeout=10) as response:
        return response.read().decode()


def test_readyz_says_503_while_the_port_still_answers(config: Path) -> None:
    """A load balancer must learn of the stop before connections are refused."""
    config.write_text(config.read_text() + "Endpoint: {ShutdownWaitMs: 3000}\n")
    with running(config) as daemon:
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_until(lambda: daemon.get("/readyz")[0] == 503)
        assert daemon.get("/readyz")[1]["status"] == "draining"
        assert daemon.get("/v1/api/model/m/eval?x=1")[0] == 200
        assert daemon.process.wait(20) == 0


def test_a_second_signal_ends_at_once(slow_config: Path) -> None:
    """An operator who presses Ctrl-C twice does not want to wait."""
    slow_config.write_text(slow_config.read_text() + "Endpoint: {ShutdownWaitMs: 60000}\n")
    with running(slow_config) as daemon:
        daemon.process.send_signal(signal.SIGINT)
        daemon.wait_for_log("stopping")
        daemon.process.send_signal(signal.SIGINT)
        assert daemon.process.wait(5) == 130


def test_a_model_that_hangs_does_not_keep_the_process(slow_config: Path) -> None:
    """A supervisor would have to kill it, after a minute in which nothing serves."""
    limits = "Endpoint: {WriteTimeoutMs: 200, ShutdownTimeoutMs: 200}\n"
    slow_config.write_text(slow_config.read_text() + limits)
    with running(slow_config) as daemon:
        assert daemon.get("/v1/api/model/slow/eval?x=600")[0] == 504
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(20) == 1
    assert "nothing can stop it" in daemon.log[-1]


def test_local_copies_are_removed_even_after_a_kill(config: Path, tmp_path: Path) -> None:
    """Copies of models that nobody removes fill the disk, one crash at a time."""
    copies = tmp_path / "tmp"
    copies.mkdir()
    os.environ["TMPDIR"], before = str(copies), os.environ.get("TMPDIR", tempfile.gettempdir())
    try:
        with running(config) as daemon:
            assert len(list(copies.iterdir())) == 1
            daemon.process.kill()
            daemon.process.wait()
        with running(config):
            assert len(list(copies.iterdir())) == 1
        assert list(copies.iterdir()) == []
    finally:
        os.environ["TMPDIR"] = before


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "mlserve", *arguments], capture_output=True, text=True, timeout=60)


def test_strict_exits_1_if_a_model_fails(config: Path) -> None:
    """A supervisor that asked for --strict wants to know by the exit code."""
    (config.parent / "m.onnx").write_bytes(b"garbage")
    ended = run("-c", str(config), "--strict", "--port", "0")
    assert ended.returncode == 1
    assert "--strict: m did not load" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_busy_port_is_said_in_one_line(config: Path) -> None:
    """The most common failure of a start deserves words instead of a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run("-c", str(config), "--port", str(taken.getsockname()[1]))
    assert ended.returncode == 1
    assert "cannot listen on 127.0.0.1" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_bad_configuration_is_told_whole_with_lines(config: Path) -> None:
    """Every problem at once, each with its place: nobody mends a file one error at a time."""
    config.write_text("Modells: []\nModels:\n  - {ID: m, URL: m.onnx, Tagz: x}\n")
    ended = run("-c", str(config))
    assert ended.returncode == 1
    assert f"{config}:1: Modells:" in ended.stderr
    assert f"{config}:3: Models[0].Tagz:" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_bad_usage_exits_2() -> None:
    """Scripts tell their own mistakes from the server's by this code."""
    assert run("--no-such-flag").returncode == 2
    assert run("serve").returncode == 2


def test_the_port_answers_before_models_are_loaded(slow_config: Path) -> None:
    """Probes that fail while a big model loads make supervisors restart for ever."""
    (slow_config.parent / "slow.py").write_text(
        SLOW.replace("def predict", "def load(self, path):\n        time.sleep(3)\n    def predict")
    )
    with Daemon(slow_config) as daemon:
        assert daemon.get("/healthz") == (200, {"status": "ok"})
        status, body = daemon.get("/readyz")
        assert (status, body["models"]) == (503, {"slow": "loading"})
        status, body = daemon.get("/v1/api/model/slow/eval?x=0")
        assert (status, body["code"]) == (503, "not_ready")
        daemon.wait_ready()
        assert daemon.get("/v1/api/model/slow/eval?x=0")[0] == 200


def test_a_start_is_one_line_per_model_and_a_url_that_answers(config: Path) -> None:
    """The last line of a start can be pasted; libraries keep quiet."""
    with running(config) as daemon:
        url = daemon.wait_for_log(r"try  curl '(\S+)'")[1]
        with urllib.request.urlopen(url, timeout=10) as response:
            assert orjson.loads(response.read())["status"] == "ok"
        assert len(daemon.log) == 4, daemon.log
        daemon.wait_for_log(r"uses \d+ processors \(\w+")
