"""What a process has cached outlives it: on disk, and in a store beside it."""

from __future__ import annotations

import signal
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.daemon import Daemon, running
from tests.support.redis_server import redis_server
from tests.support.tier_config import PATIENT_MS
from tests.support.tier_story import TierStory

THIRDS = """
class Thirds:
    signature = {"inputs": {"x": "float64[-1]"}, "outputs": {"y": "float64[-1]", "name": "string[-1]"}}

    def predict(self, inputs):
        import os

        import numpy as np

        with open(os.environ["RUNS"], "a") as file:
            file.write("run\\n" * len(inputs["x"]))
        return {"y": inputs["x"] / 3, "name": np.array([f"<{x!r}> ä" for x in inputs["x"].tolist()], object)}
"""
"""Its answers are easily told apart, and every run of a row leaves a line."""

ROWS = [number / 7 for number in range(-100, 100)]


def _config(folder: Path, chain: str, redis: str = "redis://127.0.0.1:1", fleet: str = "{ID: fleet}") -> Path:
    """Models ``m``, cached in ``chain``, and ``fleet``, which is the same in a datastore of its own."""
    (folder / "thirds.py").write_text(THIRDS)
    models = [f"{{ID: {name}, URL: 'python:thirds.py:Thirds', DataStore: {name}}}" for name in ("m", "fleet")]
    timeout = f"Timeout: {{Connection: 2000, Total: {PATIENT_MS}}}"
    config = folder / "config.yaml"
    config.write_text(
        f"Models: [{', '.join(models)}]\n"
        f"Datastores: [{{ID: m, {chain}}}, {fleet}]\n"
        f"Connections: [{{ID: disk, URL: 'lmdb:cache', {timeout}}}, {{ID: shared, URL: '{redis}', {timeout}}}]\n"
    )
    return config


@pytest.fixture(autouse=True)
def runs_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNS", str(tmp_path / "runs"))


def _runs(folder: Path) -> int:
    """Rows that the model has computed, those of its starts included."""
    return (folder / "runs").read_text().count("run")


def _batch(daemon: Daemon, rows: Sequence[float] = ROWS, model: str = "m") -> tuple[bytes, str]:
    """The answers as they were printed, floats in full, and where they came from."""
    request = urllib.request.Request(f"{daemon.url}/v1/api/model/{model}/eval", orjson.dumps({"x": rows}))
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().partition(b'"data":')[2], answer.headers["Cache-Status"]


def _one(daemon: Daemon, x: float) -> tuple[Any, str]:
    with urllib.request.urlopen(f"{daemon.url}/v1/api/model/m/eval?x={x!r}", timeout=30) as answer:
        return orjson.loads(answer.read())["data"], answer.headers["Cache-Status"].split("; ttl")[0]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_warm_start_from_disk(tmp_path: Path, end: signal.Signals) -> None:
    """A deployment, or a crash, would otherwise cost as much computing as the first day."""
    config = _config(tmp_path, "Connection: disk, TimeToLiveMs: 3600000")
    with running(config) as daemon:
        TierStory(daemon, "disk", "m").await_down(down=False)
        first, status = _batch(daemon)
        assert status.endswith(f'miss={len(ROWS)}"')
        if end is signal.SIGKILL:
            story = TierStory(daemon, "disk", "m")
            daemon.wait_until(lambda: story.writes["ok"] == len(ROWS))
        daemon.process.send_signal(end)
        daemon.process.wait(30)
    with running(config) as daemon:
        TierStory(daemon, "disk", "m").await_down(down=False)
        before = _runs(tmp_path)
        assert _one(daemon, ROWS[3]) == ({"y": ROWS[3] / 3, "name": f"<{ROWS[3]!r}> ä"}, "l1; hit")
        again, status = _batch(daemon)
        assert status == f'mlserve; detail="memory=0 l1={len(ROWS)}"'
        assert again == first
        assert _runs(tmp_path) == before


def test_a_hit_below_goes_up(tmp_path: Path) -> None:
    """After a restart with an empty Redis the disk answers once; then Redis has it, and memory."""
    chain = "Cache: {SizeMB: 8}, Connection: shared, L2: {Connection: disk}"
    with redis_server() as server:
        config = _config(tmp_path, chain, server.url)
        with running(config) as daemon:
            story = TierStory(daemon, "disk", "m")
            first, _ = _batch(daemon)
            daemon.wait_until(lambda: story.writes["ok"] == len(ROWS))
        server.client.flushall()
        with running(config) as daemon:
            for connection in ("disk", "shared"):
                TierStory(daemon, connection, "m").await_down(down=False)
            before = _runs(tmp_path)
            assert _one(daemon, ROWS[0])[1] == "l2; hit"
            assert _one(daemon, ROWS[0])[1] == "memory; hit"
            assert _batch(daemon) == (first, f'mlserve; detail="memory=1 l2={len(ROWS) - 1}"')
            assert _batch(daemon) == (first, f'mlserve; detail="memory={len(ROWS)}"')
            daemon.wait_until(lambda: server.client.dbsize() == len(ROWS))
            assert _runs(tmp_path) == before


def test_read_only_tiers_are_read_and_left_alone(tmp_path: Path) -> None:
    """A canary that reads the fleet's cache must not write into it, from the model or from below."""
    with redis_server() as server:
        fleet = "{ID: fleet, Connection: shared}"
        config = _config(tmp_path, "Connection: shared, ReadOnly: true, L2: {Connection: disk}", server.url, fleet)
        with running(config) as daemon:
            shared, disk = (TierStory(daemon, connection, "m") for connection in ("shared", "disk"))
            shared.await_down(down=False)
            disk.await_down(down=False)
            first, _ = _batch(daemon, ROWS[:100], "fleet")
            daemon.wait_until(lambda: shared.writes["ok"] == 100)
            assert _batch(daemon, ROWS[:100]) == (first, 'mlserve; detail="memory=0 l1=100"')
            assert _batch(daemon)[1] == 'mlserve; detail="memory=0 l1=100 miss=100"'
            daemon.wait_until(lambda: disk.writes["ok"] == 100)
            assert _batch(daemon)[1] == 'mlserve; detail="memory=0 l1=100 l2=100"'
            assert shared.writes == {"ok": 100, "dropped": 0}
        assert server.client.dbsize() == 100
