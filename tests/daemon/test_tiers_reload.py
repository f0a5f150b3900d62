"""The configuration gains, changes and loses a connection while callers are answered."""

from __future__ import annotations

from pathlib import Path

from tests.support.daemon import running
from tests.support.redis_server import RedisServer, redis_server
from tests.support.tier_config import PATIENT_MS, READ_TIMEOUT_MS, one_each
from tests.support.tier_story import TierStory
from tests.support.versions import write_version
from tests.support.witness import witnessed

ROWS = range(50)
NO_STORE = "Models: [{ID: m, URL: m.onnx}]\n"


def _clients(server: RedisServer) -> int:
    """Connections by others than the test."""
    return sum(client["addr"].startswith("127.0.0.1:") for client in server.client.client_list())


def test_a_connection_comes_moves_and_goes(tmp_path: Path) -> None:
    """Moving to another cache server must not take a restart, cost a request, or leave sockets at the old one."""
    write_version(tmp_path / "m.onnx", 1)
    config, staged = tmp_path / "config.yaml", tmp_path / "staged.yaml"
    config.write_text(NO_STORE)

    def apply(text: str) -> None:
        since = len(daemon.log)
        staged.write_text(text)
        staged.replace(config)
        daemon.wait_for_log("m replaced", since=since)

    with redis_server() as old, redis_server() as new, running(config) as daemon:
        story = TierStory(daemon, "m", "m")
        with witnessed(daemon, "m", ROWS) as witness:
            assert {answer.cache for answer in witness.await_answers()} == {""}
            assert story.is_down is None
            apply(one_each({"m": old.url}, timeout_ms=PATIENT_MS))
            witness.await_hits("l1")
            daemon.wait_until(lambda: old.client.dbsize() == len(ROWS))

            apply(one_each({"m": new.url}, timeout_ms=PATIENT_MS))
            witness.await_hits("l1")
            daemon.wait_until(lambda: new.client.dbsize() == len(ROWS))
            daemon.wait_until(lambda: _clients(old) == 0)

            apply(NO_STORE)
            assert {answer.cache for answer in witness.await_answers()} == {""}
            daemon.wait_until(lambda: _clients(new) == 0)
            daemon.wait_until(lambda: story.is_down is None)
        assert [line.partition(") ")[2] for line in story.lines] == ["is up", "is up"]


def test_what_is_in_line_survives_a_change_of_the_model(tmp_path: Path) -> None:
    """A reload that leaves the connection alone keeps it, with what it has yet to write to a store that is away."""
    write_version(tmp_path / "m.onnx", 1)
    config, staged = tmp_path / "config.yaml", tmp_path / "staged.yaml"
    with redis_server() as server:
        text = one_each({"m": server.url}, timeout_ms=READ_TIMEOUT_MS)
        config.write_text(text)
        with running(config) as daemon:
            story = TierStory(daemon, "m", "m", since=0)
            story.await_down(down=False)
            server.freeze()
            assert daemon.post("/v1/api/model/m/eval", {"x": list(ROWS)})[0] == 200
            staged.write_text(text + "GlobalBatching: {MaxBatchSize: 2}\n")
            staged.replace(config)
            daemon.wait_for_log("m replaced")
            server.thaw()
            daemon.wait_until(lambda: story.writes["ok"] == len(ROWS), 30)
            assert server.client.dbsize() == len(ROWS)
            assert sum("is up" in line for line in story.lines) == 1
