"""What lies on a disk: links, pipes, permissions and other people's temporaries."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from mlserve.errors import SourceError
from mlserve.sources.artifact import Listing
from mlserve.sources.local import LocalPlace
from tests.support.model_source import write


def look(path: Path, *extra: str) -> Listing:
    return LocalPlace(path).look(extra, lambda: None).listing


def names(path: Path, *extra: str) -> list[str]:
    return [file.name for file in look(path, *extra).files]


def test_a_folder_is_listed_whole_and_sorted(tmp_path: Path) -> None:
    """Names and sizes are what every later step compares."""
    write(tmp_path, {"b/c": b"123", "a": b"1", "b/a/d": b""})
    sight = LocalPlace(tmp_path).look((), lambda: None)
    assert [(file.name, file.size) for file in sight.listing.files] == [("a", 1), ("b/a/d", 0), ("b/c", 3)]
    assert sight.main is None
    assert sight.folders == {tmp_path.parent, tmp_path, tmp_path / "b", tmp_path / "b/a"}


def test_a_file_is_listed_alone(tmp_path: Path) -> None:
    """Its neighbours are other models, or a folder of a million photographs."""
    write(tmp_path, {"model.onnx": b"1", "other.onnx": b"2"})
    sight = LocalPlace(tmp_path / "model.onnx").look((), lambda: None)
    assert [file.name for file in sight.listing.files] == ["model.onnx"]
    assert sight.main == "model.onnx"
    assert sight.folders == {tmp_path}


def test_hidden_files_are_not_there(tmp_path: Path) -> None:
    """rsync writes to ``.name.random`` beside the file it will replace."""
    write(tmp_path, {"model": b"1", ".model.Xy12": b"half", ".git/config": b""})
    assert names(tmp_path) == ["model"]
    assert names(tmp_path, ".git/config", "missing") == [".git/config", "model"]


def test_extra_names_lie_beside_a_file(tmp_path: Path) -> None:
    """ONNX external data, and the ready file of a single-file model."""
    write(tmp_path, {"model.onnx": b"1", "data/weights": b"22", "_SUCCESS": b""})
    assert names(tmp_path / "model.onnx", "data/weights", "_SUCCESS", "no", "model.onnx/no") == [
        "_SUCCESS",
        "data/weights",
        "model.onnx",
    ]


@pytest.mark.parametrize("change", ["content", "touch", "replace with the same time", "rewrite with the same time"])
def test_every_change_moves_the_version(tmp_path: Path, change: str) -> None:
    """A change of the same size and time (``cp -p``, ``rsync -t``) must be seen as well."""
    file = write(tmp_path, {"model": b"1"}) / "model"
    before, status = look(tmp_path), file.stat()
    time.sleep(0.02)  # the clock that stamps files ticks some 250 times a second
    if change == "replace with the same time":
        (tmp_path / ".new").write_bytes(b"2")
        (tmp_path / ".new").rename(file)
    elif change == "touch":
        file.touch()
    else:
        file.write_bytes(b"2")
    if "same time" in change:
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert look(tmp_path) != before


def test_newest_is_when_something_moved_here(tmp_path: Path) -> None:
    """tar and ``cp -p`` give files old times while the rest of the folder is still on its way."""
    start = time.time() - 1
    os.utime(write(tmp_path, {"model": b"1"}) / "model", (1000, 1000))
    newest = look(tmp_path).newest
    assert newest is not None
    assert start < newest < time.time() + 1


def test_links_that_stay_inside_are_followed(tmp_path: Path) -> None:
    """Kubernetes mounts a volume as links into a hidden folder, which one link flips."""
    write(tmp_path, {"..2024/model": b"1", "..2024/sub/x": b"2"})
    (tmp_path / "..data").symlink_to("..2024")
    (tmp_path / "model").symlink_to("..data/model")
    (tmp_path / "sub").symlink_to("..data/sub")
    sight = LocalPlace(tmp_path).look((), lambda: None)
    assert [file.name for file in sight.listing.files] == ["model", "sub/x"]
    assert tmp_path in sight.folders
    with LocalPlace(tmp_path).open("sub/x") as file:
        assert file.read(10) == b"2"


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "../folder", "nowhere", "sub", "."])
def test_links_that_lead_out_or_nowhere_or_round(tmp_path: Path, target: str) -> None:
    """A link to /etc/shadow in a model's folder must not be copied, and a loop not walked for ever."""
    write(tmp_path, {"outside": b"", "folder/x": b"", "model/weights": b""})
    (tmp_path / "model/sub").symlink_to(target)
    with pytest.raises(SourceError, match="link"):
        look(tmp_path / "model")


def test_a_companion_that_is_a_link_out(tmp_path: Path) -> None:
    """The same for names that a model file gives."""
    write(tmp_path, {"outside": b"", "model/model.onnx": b""})
    (tmp_path / "model/weights").symlink_to("../outside")
    with pytest.raises(SourceError, match="link out of"):
        look(tmp_path / "model/model.onnx", "weights")
    with pytest.raises(SourceError, match="link out of"):
        LocalPlace(tmp_path / "model/model.onnx").open("weights")


def test_the_root_may_be_a_link_and_flipping_it_shows(tmp_path: Path) -> None:
    """Publishing by one atomic flip; the event happens in the folder of the link, wherever on the way it is."""
    write(tmp_path, {"v1/m/model": b"1", "v2/m/model": b"2"})
    (tmp_path / "links").mkdir()
    (tmp_path / "links/current").symlink_to("../v1")
    place = LocalPlace(tmp_path / "links/current/m")
    before = place.look((), lambda: None)
    assert before.folders >= {tmp_path / "links", tmp_path / "v1/m", tmp_path / "v1"}
    (tmp_path / "links/new").symlink_to("../v2")
    (tmp_path / "links/new").rename(tmp_path / "links/current")
    after = place.look((), lambda: None)
    assert after.listing != before.listing
    assert after.folders >= {tmp_path / "links", tmp_path / "v2/m"}


def test_companions_of_a_linked_file_lie_beside_the_real_one_too(tmp_path: Path) -> None:
    """``current.onnx -> releases/v2/model.onnx``, with the weights where the exporter put them."""
    write(tmp_path, {"releases/v2/model.onnx": b"1", "releases/v2/weights": b"2"})
    (tmp_path / "current.onnx").symlink_to("releases/v2/model.onnx")
    assert names(tmp_path / "current.onnx", "weights") == ["current.onnx", "weights"]


@pytest.mark.parametrize("as_root", [True, False])
def test_pipes_and_sockets_are_refused_unopened(tmp_path: Path, as_root: bool) -> None:
    """Opening a pipe waits for its writer, for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="pipe, socket or device"):
        look(tmp_path / "pipe" if as_root else tmp_path)
    with pytest.raises(SourceError, match="pipe, socket or device"):
        LocalPlace(tmp_path).open("pipe")
    (tmp_path / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        with pytest.raises(SourceError, match="pipe, socket or device"):
            look(tmp_path / "s" if as_root else tmp_path)


def test_a_folder_of_everything_stops_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``URL: /`` must be an error, not a crawl."""
    monkeypatch.setattr("mlserve.sources.local.MAX_FILES", 10)
    write(tmp_path, {f"d{n}/f": b"" for n in range(6)})
    with pytest.raises(SourceError, match="more than 10 files"):
        look(tmp_path)
