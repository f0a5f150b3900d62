"""A manager with all it needs: opened and closed, it leaves no folder, however it was left."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from mlserve.config.schema import Config, EndpointConfig, ModelConfig
from mlserve.daemon.models import open_manager, open_watch
from mlserve.observe.metrics import Metrics
from mlserve.serving.events import Event, ModelLoaded
from tests.support.deployments import as_lists, context, rows
from tests.support.versions import write_version


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


async def test_a_model_from_a_file_to_an_answer(tmp_path: Path) -> None:
    """Every real part together, in one process and without a port."""
    write_version(tmp_path / "m.onnx", 7)
    config = ModelConfig.model_validate({"ID": "m", "URL": "m.onnx", "Location": "copies"})
    events: list[Event] = []
    async with open_watch() as watch, open_manager(Config(), Metrics(), watch, [events.append]) as manager:
        manager.apply([config], str(tmp_path))
        await manager.first_attempts()
        with manager.acquire("m") as deployment:
            answer = await deployment.predict(rows(x=[1]), context())
        assert as_lists(answer)["a"] == [[8.0]]
        assert isinstance(events[0], ModelLoaded)
        assert len(list((tmp_path / "copies").iterdir())) == 1
        assert list((tmp_path / "tmp").iterdir()) == []
    assert list((tmp_path / "copies").iterdir()) == []
    assert len(events) == 1


async def test_nothing_stays_after_an_error(tmp_path: Path) -> None:
    """A port that is taken ends the start after the manager was made."""
    write_version(tmp_path / "m.onnx", 7)

    async def fails() -> None:
        async with open_watch() as watch, open_manager(Config(), Metrics(), watch) as manager:
            manager.apply([ModelConfig(id="m", url="m.onnx")], str(tmp_path))
            await manager.first_attempts()
            assert len(list((tmp_path / "tmp").iterdir())) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_a_version_drains_longer_than_any_request(tmp_path: Path) -> None:
    """Otherwise a reload would cut the slowest requests short."""
    endpoint = EndpointConfig.model_validate({"WriteTimeoutMs": 2500})
    async with open_watch() as watch, open_manager(Config(endpoint=endpoint), Metrics(), watch) as manager:
        assert manager._settings.drain_s == 3.5
