"""An attempt at a copy is whole or it is nothing: every bad day between the first look and the last."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from mlserve.errors import LoadError, SourceError
from mlserve.sources.fetch import Fetcher, OtherCompanions, Packing
from mlserve.sources.local import LocalPlace
from mlserve.sources.place import Beat, Readable, Sight
from mlserve.sources.worker import Stopped
from tests.support.model_source import contents, write


class Meddled(LocalPlace):
    """A local place where something happens right after a file was opened, as a writer would do it."""

    def __init__(self, path: Path, meddle: Callable[[str], object]) -> None:
        super().__init__(path)
        self._meddle = meddle

    def open(self, name: str) -> AbstractContextManager[Readable]:  # type: ignore[override]  # wider on purpose
        opened = super().open(name)
        self._meddle(name)
        return opened


def beat() -> None:
    """Always wanted."""


def fetcher(
    place: LocalPlace | Path,
    *,
    packing: Packing | None = None,
    ready_file: str | None = None,
    max_bytes: int = 10_000_000,
    companions: Callable[[Path], Sequence[str]] = lambda file: (),
) -> Fetcher:
    place = LocalPlace(place) if isinstance(place, Path) else place
    return Fetcher("test", place, packing=packing, ready_file=ready_file, max_bytes=max_bytes, companions=companions)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "model", {"a": b"1" * 3_000_000, "sub/b": b"2", "z": b"3"})


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "copies"


def test_a_whole_private_copy(model: Path, into: Path) -> None:
    """Nobody else may read it, and a second copy is a folder of its own."""
    first, second = fetcher(model).copy(into, beat), fetcher(model).copy(into, beat)
    assert contents(first) == contents(second) == {"a": b"1" * 3_000_000, "sub/b": b"2", "z": b"3"}
    assert first.digest == second.digest
    assert first.root != second.root
    assert first.path.is_relative_to(first.root)
    assert first.root.parent == into
    assert first.root.stat().st_mode & 0o077 == 0
    assert first.names == ("a", "sub/b", "z")


def test_the_digest_knows_content_and_names_only(model: Path, tmp_path: Path, into: Path) -> None:
    """Touching a file, or moving the folder, must not reload the model nor empty its cache."""
    digest = fetcher(model).copy(into, beat).digest
    os.utime(model / "a", (1, 1))
    moved = shutil.move(model, tmp_path / "elsewhere")
    assert fetcher(Path(moved)).copy(into, beat).digest == digest
    write(Path(moved), {"z": b"4"})
    assert fetcher(Path(moved)).copy(into, beat).digest != digest


BAD_DAYS: dict[str, Callable[[Path], object]] = {
    "replaced": lambda model: (write(model, {".new": b"9" * 3_000_000}) / ".new").rename(model / "a"),
    "rewritten": lambda model: write(model, {"a": b"9" * 3_000_000}),
    "truncated": lambda model: os.truncate(model / "a", 10),
    "grown": lambda model: write(model, {"a": b"9" * 4_000_000}),
    "another file appears": lambda model: write(model, {"new": b"9"}),
    "another file changes": lambda model: write(model, {"sub/b": b"9"}),
    "another file vanishes": lambda model: (model / "z").unlink(),
    "emptied": lambda model: [shutil.rmtree(model), model.mkdir()],
    "gone": lambda model: shutil.rmtree(model),
    "now a file": lambda model: [shutil.rmtree(model), model.write_bytes(b"9")],
    "now a pipe": lambda model: [(model / "z").unlink(), os.mkfifo(model / "z")],
    "now a link out": lambda model: [(model / "z").unlink(), (model / "z").symlink_to("/etc/passwd")],
}


@pytest.mark.parametrize("day", BAD_DAYS)
def test_what_moves_while_it_is_copied_is_thrown_away(day: str, model: Path, into: Path) -> None:
    """The first file is open when it happens: the copy would be of no version that ever existed."""
    calls: list[str] = []

    def meddle(name: str) -> None:
        calls.append(name)
        if len(calls) == 1:
            BAD_DAYS[day](model)

    with pytest.raises((SourceError, OSError)):
        fetcher(Meddled(model, meddle)).copy(into, beat)
    assert calls[0] == "a"
    assert list(into.iterdir()) == []


def test_a_flipped_link_is_noticed(tmp_path: Path, into: Path) -> None:
    """Half of version one and half of version two have the names and sizes of a model."""
    for version in "12":
        write(tmp_path / f"v{version}", {"a": version.encode(), "b": version.encode()})
    (tmp_path / "current").symlink_to("v1")

    def flip(name: str) -> None:
        (tmp_path / "new").symlink_to("v2")
        (tmp_path / "new").rename(tmp_path / "current")

    with pytest.raises(SourceError, match="moved while it was copied: a, b"):
        fetcher(Meddled(tmp_path / "current", flip)).copy(into, beat)
    assert list(into.iterdir()) == []


def test_nobody_waits_any_more(model: Path, into: Path) -> None:
    """A cancelled copy stops at the next megabyte and leaves nothing."""
    left = [8]

    def stop() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Stopped

    with pytest.raises(Stopped):
        fetcher(model).copy(into, stop)
    assert list(into.iterdir()) == []


def test_bounds_hold_before_anything_is_copied(model: Path, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An artefact over MaxBytes or over the disk is refused by its listing, with both numbers."""

    def never(name: str) -> None:
        raise AssertionError(name)

    place = Meddled(model, never)
    with pytest.raises(SourceError, match=r"3000002 bytes, over MaxBytes \(1000\)"):
        fetcher(place, max_bytes=1000).copy(into, beat)
    assert not into.exists()
    usage = shutil.disk_usage(model)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=17))
    with pytest.raises(SourceError, match="has room for 17"):
        fetcher(place).copy(into, beat)


@pytest.mark.parametrize("files", [{}, {".hidden": b"1"}, {"_SUCCESS": b""}])
def test_nothing_there(files: dict[str, bytes], tmp_path: Path, into: Path) -> None:
    """An emptied folder is not an empty model."""
    model = write(tmp_path / "m", files)
    model.mkdir(exist_ok=True)
    with pytest.raises(SourceError, match="holds no files"):
        fetcher(model, ready_file="_SUCCESS").copy(into, beat)


def test_the_ready_file_must_be_there_and_stays_behind(model: Path, into: Path) -> None:
    """Its content is often a time: in the digest it would empty caches for nothing."""
    source = fetcher(model, ready_file=".ready")
    with pytest.raises(SourceError, match=r"ready file \.ready is not there"):
        source.copy(into, beat)
    write(model, {".ready": b"now"})
    artifact = source.copy(into, beat)
    assert sorted(contents(artifact)) == ["a", "sub/b", "z"]
    assert ".ready" in [file.name for file in artifact.listing.files]
    assert artifact.digest == fetcher(model).copy(into, beat).digest


def test_companions_are_asked_for_copied_and_belong(tmp_path: Path, into: Path) -> None:
    """ONNX external data: part of the artefact, of its listing and of its digest."""
    model = write(tmp_path / "m", {"m.onnx": b"1", "data/w": b"2", "other": b"3"})
    source = fetcher(model / "m.onnx", companions=lambda file: ["./data/w"])
    with pytest.raises(OtherCompanions) as news:
        source.copy(into, beat)
    assert list(into.iterdir()) == []
    source.known = news.value.names
    first = source.copy(into, beat)
    assert contents(first) == {"m.onnx": b"1", "data/w": b"2"}
    assert [file.name for file in first.listing.files] == ["data/w", "m.onnx"]
    write(model, {"data/w": b"9"})
    assert source.look(beat).listing != first.listing
    assert source.copy(into, beat).digest != first.digest


@pytest.mark.parametrize("name", ["../w", "/etc/passwd", "C:/w", "a\\w", ""])
def test_companions_may_not_lie_elsewhere(name: str, tmp_path: Path, into: Path) -> None:
    """What a model file says is not believed, whatever the backend let through."""
    write(tmp_path, {"m.onnx": b"1", "w": b"2"})
    with pytest.raises(SourceError, match=r"m\.onnx names the file .* refused"):
        fetcher(tmp_path / "m.onnx", companions=lambda file: [name]).copy(into, beat)
    assert list(into.iterdir()) == []


def test_a_missing_companion_is_named(tmp_path: Path, into: Path) -> None:
    """The uploader forgot it, or is not done."""
    write(tmp_path, {"m.onnx": b"1"})
    source = fetcher(tmp_path / "m.onnx", companions=lambda file: ["weights.bin"])
    source.known = frozenset({"weights.bin"})
    with pytest.raises(SourceError, match=r"m\.onnx needs weights\.bin beside it"):
        source.copy(into, beat)


def test_a_backend_that_cannot_read_the_file(tmp_path: Path, into: Path) -> None:
    """Garbage instead of a model: the backend's words reach the operator, the copy is gone."""

    def fail(file: Path) -> Sequence[str]:
        raise LoadError("not an ONNX file")

    write(tmp_path, {"m.onnx": b"1"})
    with pytest.raises(LoadError, match="not an ONNX file"):
        fetcher(tmp_path / "m.onnx", companions=fail).copy(into, beat)
    assert list(into.iterdir()) == []


@pytest.mark.parametrize(
    ("members", "inner", "path", "names"),
    [
        ({"m/a": b"1", "m/b/c": b"2"}, "", "m", ("a", "b/c")),
        ({"x/y/a": b"1", "x/y/b/c": b"2"}, "", "x/y", ("a", "b/c")),
        ({"a": b"1", "b/c": b"2"}, "", "", ("a", "b/c")),
        ({"a": b"1", "b/c": b"2"}, "b", "b", ("c",)),
        ({"a": b"1", "b/c/d": b"2"}, "b", "b", ("c/d",)),
        ({"x/m.onnx": b"1", "x/w": b"2", "x/other": b""}, "x/m.onnx", "x/m.onnx", ("m.onnx", "w")),
        ({"m.onnx": b"1", "w": b"2"}, "m.onnx", "m.onnx", ("m.onnx", "w")),
        ({"x/only": b"1"}, "", "x", ("only",)),
    ],
)
def test_where_the_artefact_lies_in_an_archive(
    members: dict[str, bytes], inner: str, path: str, names: tuple[str, ...], tmp_path: Path, into: Path
) -> None:
    """A single top folder is the packer's habit, not part of the model."""
    write(tmp_path / "packed", members)
    archive = Path(shutil.make_archive(str(tmp_path / "m"), "zip", tmp_path / "packed"))
    source = fetcher(archive, packing=Packing("zip", inner), companions=lambda file: ["w"])
    artifact = source.copy(into, beat)
    assert artifact.path == artifact.root / "artifact" / path
    assert artifact.names == names
    assert [file.name for file in artifact.listing.files] == ["m.zip"]
    assert [entry.name for entry in artifact.root.iterdir()] == ["artifact"]


def test_packed_and_plain_are_the_same_model(tmp_path: Path, into: Path) -> None:
    """The way it travelled must not change the generation."""
    write(tmp_path / "plain/m", {"a": b"1", "b/c": b"2"})
    digests = {fetcher(tmp_path / "plain/m").copy(into, beat).digest}
    for kind, form in (("zip", "zip"), ("tar", "tar"), ("tar", "gztar")):
        archive = Path(shutil.make_archive(str(tmp_path / form), form, tmp_path / "plain"))
        digests.add(fetcher(archive, packing=Packing(kind)).copy(into, beat).digest)  # type: ignore[arg-type]  # literals
    assert len(digests) == 1


def test_archives_that_are_not_what_the_url_says(tmp_path: Path, into: Path) -> None:
    """Each error names what was looked for; a folder may well be called m.zip."""
    folder = write(tmp_path / "m.zip", {"a": b"1"})
    assert contents(fetcher(folder, packing=Packing("zip")).copy(into, beat)) == {"a": b"1"}
    with pytest.raises(SourceError, match="it is a folder, and the URL asks for a zip file"):
        fetcher(folder, packing=Packing("zip", certain=True)).copy(into, beat)
    archive = Path(shutil.make_archive(str(tmp_path / "n"), "zip", folder))
    with pytest.raises(SourceError, match="nothing below 'b'"):
        fetcher(archive, packing=Packing("zip", "b")).copy(into, beat)
    with pytest.raises(SourceError, match=r"a needs w beside it"):
        fetcher(archive, packing=Packing("zip", "a"), companions=lambda file: ["w"]).copy(into, beat)


def test_beats_come_during_everything(model: Path, into: Path) -> None:
    """Without them a long copy counts as hung."""
    beats: list[int] = []
    fetcher(model).copy(into, lambda: beats.append(threading.get_ident()))
    assert len(beats) >= 3 + 2 * 4


def test_extra_names_reach_the_place(tmp_path: Path) -> None:
    """Ready file and companions are looked for at every look, even if hidden from the walk."""
    asked: list[Collection[str]] = []

    class Recording(LocalPlace):
        def look(self, extra: Collection[str], beat: Beat) -> Sight:
            asked.append(frozenset(extra))
            return super().look(extra, beat)

    write(tmp_path, {"m": b""})
    source = fetcher(Recording(tmp_path / "m"), ready_file="ok")
    source.known = frozenset({"w"})
    source.look(beat)
    assert asked == [{"ok", "w"}]
