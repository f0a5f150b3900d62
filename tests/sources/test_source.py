"""A source as its servable uses it: asynchronous, bounded, closed while busy, and never half a model."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from mlserve.errors import SourceError
from mlserve.sources.artifact import Artifact
from mlserve.sources.local import LocalPlace
from mlserve.sources.settle import settled
from mlserve.sources.source import open_source
from tests.support.model_source import contents, source_for, write

PARTS = {"saved_model.pb": b"graph" * 1000, "variables/index": b"i", "variables/data": b"d" * 50_000}


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "copies"


def packed(tmp_path: Path, form: str = "zip") -> Path:
    write(tmp_path / "plain/m", PARTS)
    return Path(shutil.make_archive(str(tmp_path / "packed"), form, tmp_path / "plain"))


@pytest.mark.parametrize(
    "url",
    [
        "{folder}",
        "file://{folder}",
        "local://{folder}",
        "{folder}/",
        "{zip}",
        "{tar}",
        "zip://m::{zip}",
        "zip://m/::file://{zip}",
        "zip://::{zip}",
        "tar://m::{tar}",
        "zip://m::memory://source-test/packed.zip",
        "mem://source-test/packed.zip",
    ],
)
async def test_every_spelling_gives_the_same_model(url: str, tmp_path: Path, into: Path) -> None:
    """One model, one digest, whatever the way to it."""
    archive = packed(tmp_path)
    memory = fsspec.filesystem("memory")
    memory.pipe("/source-test/packed.zip", archive.read_bytes())
    address = url.format(folder=tmp_path / "plain/m", zip=archive, tar=packed(tmp_path, "gztar"))
    source = source_for(address)
    try:
        artifact = await source.fetch(into)
        assert contents(artifact) == PARTS
        plain = source_for(tmp_path / "plain/m")
        assert artifact.digest == (await plain.fetch(into)).digest
        await plain.close()
    finally:
        await source.close()
        memory.rm("/source-test", recursive=True)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("simplecache::s3://b/m", "zip://inner::outer"),
        ("zip://a::zip://b::c.zip", "zip://inner::outer"),
        ("zip://../a::c.zip", "refused"),
        ("filecache::https://user:hunter2@h/m", "zip://inner::outer"),
    ],
)
def test_urls_that_cannot_work(url: str, words: str) -> None:
    """A cache below us would hide every change; said when the configuration is read."""
    with pytest.raises(SourceError, match=words) as caught:
        source_for(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["../_SUCCESS", "/_SUCCESS", ""])
def test_ready_files_elsewhere(name: str) -> None:
    """The ready file belongs to the artefact's folder."""
    with pytest.raises(SourceError, match="m: ReadyFile names the file"):
        source_for("m", ready_file=name)


async def test_relative_paths_mean_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``mlserve inspect model.onnx``."""
    write(tmp_path, {"m.onnx": b"1"})
    monkeypatch.chdir(tmp_path)
    source = await asyncio.to_thread(source_for, "m.onnx")  # asks the system for the working directory
    assert [file.name for file in (await source.listing()).files] == ["m.onnx"]
    await source.close()


async def test_errors_are_in_words_with_the_url(tmp_path: Path, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an operator reads at three in the morning."""
    source = source_for(tmp_path / "m")
    with pytest.raises(SourceError, match=r"/m: listing failed: nothing is at .*/m$"):
        await source.listing()
    with pytest.raises(SourceError, match=r"/m: copying failed: nothing is at .*/m$"):
        await source.fetch(into)
    write(tmp_path / "m", {".hidden": b""})
    with pytest.raises(SourceError, match=r"/m: the folder holds no files"):
        await source.listing()

    def deny(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", deny)  # tests may run as root, whom no mode keeps out
    with pytest.raises(SourceError, match=r"no permission for .*/m: let the user that mlserve runs as read it"):
        await source.listing()
    await source.close()


async def test_folders_follow_what_is_there(tmp_path: Path) -> None:
    """A file that may come yet, a folder with folders below: what the watcher must watch."""
    source = source_for(tmp_path / "m")
    assert source.folders() == {tmp_path, tmp_path / "m"}
    write(tmp_path / "m", PARTS)
    await source.listing()
    assert source.folders() == {tmp_path, tmp_path / "m", tmp_path / "m/variables"}
    await source.close()


async def test_a_slow_writer_never_gives_half_a_model(tmp_path: Path, into: Path) -> None:
    """A model that is written piece by piece goes live once, whole; between its pieces nothing can be fetched twice
    the same."""
    model = tmp_path / "m"
    left = list(PARTS.items())
    write(model, dict([left.pop(0)]))
    source = source_for(model)

    def write_a_piece() -> None:
        if left:
            name, content = left[0]
            half = (model / name).exists()
            write(model, {name: content if half else content[: len(content) // 2]})
            if half:
                left.pop(0)

    listing = await settled(source, sleep=lambda _: asyncio.to_thread(write_a_piece))
    assert not left
    artifact = await source.fetch(into)
    assert contents(artifact) == PARTS
    assert artifact.listing == listing
    await source.close()


async def test_new_companions_settle_before_they_are_copied(tmp_path: Path, into: Path) -> None:
    """The model file is there; its weights arrive half, then whole, while we look."""
    write(tmp_path, {"m.onnx": b"1", "w": b"half"})
    asked = threading.Event()

    def companions(file: Path) -> list[str]:
        if not asked.is_set():
            asked.set()
            write(tmp_path, {"w": b"the whole of it"})
        return ["w"]

    source = source_for(tmp_path / "m.onnx", companions=companions)
    before = await source.listing()
    artifact = await source.fetch(into)
    assert contents(artifact) == {"m.onnx": b"1", "w": b"the whole of it"}
    assert artifact.listing == await source.listing() != before
    assert len(os.listdir(into)) == 1
    write(tmp_path, {"w": b"other"})
    assert await source.listing() != artifact.listing
    await source.close()


async def test_companions_that_never_agree(tmp_path: Path, into: Path) -> None:
    """Somebody swaps models faster than we can copy: bounded, and said."""
    write(tmp_path, {"m.onnx": b"1", "0": b"", "1": b"", "2": b""})
    count = iter(range(9))
    source = source_for(tmp_path / "m.onnx", companions=lambda file: [str(next(count))])
    for name in ("m.onnx", "0", "1", "2"):
        os.utime(tmp_path / name, (1, 1))
    with pytest.raises(SourceError, match="keeps changing"):
        await source.fetch(into)
    assert os.listdir(into) == []
    await source.close()


class Gate:
    """Holds every open of a local file until released, as a slow disk does; then the copy goes on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Event()
        self.release = threading.Event()
        opener: Callable[..., Any] = LocalPlace.open

        def slow(place: LocalPlace, name: str) -> Any:
            self.reached.set()
            self.release.wait(30)
            return opener(place, name)

        monkeypatch.setattr(LocalPlace, "open", slow)

    async def task(self, coroutine: Any) -> asyncio.Task[Artifact]:
        task = asyncio.create_task(coroutine)
        assert await asyncio.to_thread(self.reached.wait, 5)
        return task


async def test_a_cancelled_fetch_removes_its_copy(tmp_path: Path, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model taken out of the configuration while it is copied."""
    gate = Gate(monkeypatch)
    source = source_for(write(tmp_path / "m", PARTS))
    task = await gate.task(source.fetch(into))
    assert len(os.listdir(into)) == 1
    task.cancel()
    await asyncio.sleep(0)  # the cancellation arrives
    gate.release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert os.listdir(into) == []
    assert [file.name for file in (await source.listing()).files] == sorted(PARTS)
    await source.close()


async def test_closed_while_copying(tmp_path: Path, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shutdown in the middle of a copy: soon over, nothing left, nobody waits for ever."""
    gate = Gate(monkeypatch)
    source = source_for(write(tmp_path / "m", PARTS))
    task = await gate.task(source.fetch(into))
    closing = asyncio.create_task(source.close())
    await asyncio.sleep(0)  # the close begins
    gate.release.set()
    await closing
    with pytest.raises(SourceError, match="closed during copying"):
        await task
    assert os.listdir(into) == []
    with pytest.raises(SourceError, match="closed source"):
        await source.listing()


async def test_a_file_system_that_hangs(
    tmp_path: Path, into: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A dead mount: an error after the deadline, a line in the log, and close does not wait for it."""
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr("mlserve.sources.worker._GRACE_S", 0.05)
    gate = Gate(monkeypatch)
    source = source_for(write(tmp_path / "m", PARTS), timeout_s=0.1)
    with pytest.raises(SourceError, match=r"/m: copying gave no sign of life for 0\.1 s"):
        await source.fetch(into)
    with pytest.raises(SourceError, match="an earlier copying still hangs"):
        await source.listing()
    async with asyncio.timeout(2):
        await source.close()
    assert "its thread is left behind" in caplog.text
    gate.release.set()
    for thread in threading.enumerate():
        if thread.name == "mlserve-copying":
            await asyncio.to_thread(thread.join, 5)
    assert os.listdir(into) == []


async def test_a_close_that_fails_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever closes everything at shutdown must get to the next one."""

    def fail(place: LocalPlace) -> None:
        raise OSError("the connection is gone")

    monkeypatch.setattr(LocalPlace, "close", fail)
    await source_for("/m").close()
    assert caplog.messages == ["/m: closing failed: OSError: the connection is gone"]


async def test_secrets_stay_out_of_messages() -> None:
    """Errors end up in logs, pages and tickets."""
    source = open_source("ftp://user:hunter2@127.0.0.1:1/m.onnx", max_bytes=1, companions=lambda file: (), timeout_s=5)
    assert "hunter2" not in source.url
    with pytest.raises(SourceError, match="listing failed") as caught:
        await source.listing()
    assert "hunter2" not in str(caught.value)
    await source.close()
