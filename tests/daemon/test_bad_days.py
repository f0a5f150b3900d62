"""Days on which the model's folder holds something it should not: the version that served goes on, and all is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.support.daemon import Daemon, running
from tests.support.versions import publish, write_version

CONFIG = """
Models:
  - ID: m
    URL: served
    Test: {Single: {x: 0}}
"""


class Stage:
    """One daemon serving ``served/m.onnx``, version 1 to begin with."""

    def __init__(self, folder: Path, daemon: Daemon) -> None:
        self.folder = folder
        self.served = folder / "served"
        self.daemon = daemon

    def version(self) -> float:
        status, body = self.daemon.get("/v1/api/model/m/eval?x=0")
        assert status == 200, body
        return body["data"]["a"]  # type: ignore[index, no-any-return]

    def healthy(self) -> bool:
        return self.daemon.get("/v1/api/health")[1] == {"m": 1}

    def publish_version(self, version: int) -> None:
        kept = self.folder / f"v{version}"
        write_version(kept, version)
        publish(kept, self.served / "m.onnx")

    def fails_with(self, pattern: str) -> None:
        """The change on disk is refused with these words, and version 1 goes on."""
        self.daemon.wait_for_log(pattern, within_s=20)
        self.daemon.wait_until(lambda: not self.healthy())
        assert self.version() == 1
        assert self.daemon.get("/readyz")[0] == 200

    def recovers(self) -> None:
        """What served is put back: healthy again without a reload."""
        self.publish_version(1)
        self.daemon.wait_until(self.healthy, 20)
        assert self.version() == 1
        assert not any("replaced" in line for line in self.daemon.log)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    (tmp_path / "served").mkdir()
    write_version(tmp_path / "v1", 1)
    publish(tmp_path / "v1", tmp_path / "served" / "m.onnx")
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    with running(config) as daemon:
        yield Stage(tmp_path, daemon)


def test_garbage_is_refused_and_the_old_version_serves(stage: Stage) -> None:
    """A file that is no model would otherwise end the service of one that is."""
    stage.daemon.wait_until(lambda: stage.version() == 1)
    garbage = stage.folder / "garbage"
    garbage.write_bytes(b"<html>404 not found</html>" * 100)
    publish(garbage, stage.served / "m.onnx")
    stage.fails_with(r"m failed to load: .*generation \w+ goes on serving")
    stage.recovers()


def test_a_signature_that_the_self_test_does_not_fit_is_refused(stage: Stage) -> None:
    """A model with other inputs would answer every client with 400."""
    renamed = stage.folder / "renamed"
    columns = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in ("other", "a")]
    graph = helper.make_graph([helper.make_node("Identity", ["other"], ["a"])], "g", columns[:1], columns[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), renamed)
    publish(renamed, stage.served / "m.onnx")
    stage.fails_with(r"m failed to load: self-test Single: .*x")
    stage.recovers()


def test_an_emptied_folder_is_refused(stage: Stage) -> None:
    """A sync that deletes first must not take the model down."""
    (stage.served / "m.onnx").unlink()
    stage.fails_with(r"m failed to load: ")
    stage.recovers()


def test_a_file_written_slowly_goes_live_whole_and_never_half(stage: Stage) -> None:
    """A plain copy in place takes its time; what is there halfway is no version."""
    write_version(stage.folder / "v2", 2)
    whole = (stage.folder / "v2").read_bytes()
    target = stage.served / "m.onnx"
    seen: set[float] = set()
    done = threading.Event()

    def write_slowly() -> None:
        with target.open("wb") as file:
            for start in range(0, len(whole), max(1, len(whole) // 8)):
                file.write(whole[start : start + max(1, len(whole) // 8)])
                file.flush()
                time.sleep(0.4)  # the slowness is what is tested
        done.set()

    writer = threading.Thread(target=write_slowly)
    writer.start()
    while not done.is_set():
        seen.add(stage.version())
    writer.join()
    assert seen == {1}
    assert not any("failed to load" in line for line in stage.daemon.log)
    stage.daemon.wait_until(lambda: stage.version() == 2, 10)


def test_touching_a_file_reloads_nothing(stage: Stage) -> None:
    """Generations come from content: a new date on the same bytes is no new version."""
    before = stage.daemon.get("/v1/api/model/m/eval?x=0")[1]["dictHash"]
    (stage.served / "m.onnx").touch()
    stage.publish_version(1)
    marker = len(stage.daemon.log)
    stage.publish_version(2)
    stage.daemon.wait_for_log("m replaced", since=marker, within_s=20)
    assert sum("replaced" in line for line in stage.daemon.log) == 1
    stage.publish_version(1)
    stage.daemon.wait_until(lambda: stage.version() == 1, 20)
    assert stage.daemon.get("/v1/api/model/m/eval?x=0")[1]["dictHash"] == before
