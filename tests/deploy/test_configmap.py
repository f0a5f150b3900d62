"""What a ConfigMap holds goes live in the pod that mounts it, without a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.configmap import ConfigMapVolume
from tests.support.daemon import Daemon, running
from tests.support.versions import write_version


def model(scratch: Path, version: int) -> bytes:
    """An ONNX file that adds ``version``."""
    write_version(scratch / "staged.onnx", version)
    return (scratch / "staged.onnx").read_bytes()


def answer(daemon: Daemon, model_id: str = "m") -> object:
    status, body = daemon.get(f"/v1/api/model/{model_id}/eval?x=0")
    return body["data"] if status == 200 else status


@pytest.fixture
def settings(tmp_path: Path) -> ConfigMapVolume:
    return ConfigMapVolume(tmp_path / "config")


@pytest.fixture
def models(tmp_path: Path) -> ConfigMapVolume:
    volume = ConfigMapVolume(tmp_path / "models")
    volume.update({"model.onnx": model(tmp_path, 1)})
    return volume


@pytest.fixture
def daemon(settings: ConfigMapVolume, models: ConfigMapVolume) -> Iterator[Daemon]:
    settings.update({"config.yaml": b"Models: [{ID: m, URL: ../models/model.onnx}]\n"})
    with running(settings.folder / "config.yaml") as daemon:
        yield daemon


def test_a_changed_configuration_applies(daemon: Daemon, settings: ConfigMapVolume) -> None:
    """The link that moves is neither the file nor in its name: a watch of the file alone would see nothing."""
    for names in (["m", "second"], ["second"], ["second", "third"]):
        entries = ", ".join(f"{{ID: {name}, URL: ../models/model.onnx}}" for name in names)
        settings.update({"config.yaml": f"Models: [{entries}]\n".encode()})
        daemon.wait_until(lambda names=names: sorted(daemon.get("/v1/api/health")[1]) == names)  # type: ignore[misc]  # a lambda's default has no type
        for name in names:
            daemon.wait_until(lambda name=name: answer(daemon, name) == {"a": 1, "b": 1})  # type: ignore[misc]  # as above


def test_a_broken_configuration_changes_nothing_and_the_next_good_one_applies(
    daemon: Daemon, settings: ConfigMapVolume
) -> None:
    """A typo in a ConfigMap reaches all pods at once; none of them may stop serving."""
    settings.update({"config.yaml": b"Modells: []\n"})
    daemon.wait_for_log("the changed configuration is not used")
    assert answer(daemon) == {"a": 1, "b": 1}
    settings.update({"config.yaml": b"Models: [{ID: n, URL: ../models/model.onnx}]\n"})
    daemon.wait_until(lambda: answer(daemon, "n") == {"a": 1, "b": 1})


def test_a_model_file_in_a_configmap_is_replaced(daemon: Daemon, models: ConfigMapVolume, tmp_path: Path) -> None:
    """The file behind the link goes away in the same moment in which another takes its place."""
    for version in (2, 3):
        models.update({"model.onnx": model(tmp_path, version)})
        daemon.wait_until(lambda version=version: answer(daemon) == {"a": version, "b": version})  # type: ignore[misc]  # as above


def test_a_model_folder_in_a_configmap_is_replaced(tmp_path: Path, settings: ConfigMapVolume) -> None:
    """The mount itself is the model: its entries are links into a hidden folder that changes its name."""
    volume = ConfigMapVolume(tmp_path / "served")
    volume.update({"model.onnx": model(tmp_path, 1), "_SUCCESS": b""})
    settings.update({"config.yaml": b"Models: [{ID: m, URL: ../served, ReadyFile: _SUCCESS}]\n"})
    with running(settings.folder / "config.yaml") as daemon:
        for version in (2, 3):
            volume.update({"model.onnx": model(tmp_path, version), "_SUCCESS": b""})
            daemon.wait_until(lambda version=version: answer(daemon) == {"a": version, "b": version})  # type: ignore[misc]  # as above
