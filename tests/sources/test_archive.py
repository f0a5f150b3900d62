"""Archives come from outside: one that can write beside its folder, or fill the disk or memory, is an attack."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlserve.errors import SourceError
from mlserve.sources.archive import Kind, archive_kind, unpack
from mlserve.sources.transfer import Meter

MAX_BYTES = 3_000_000


def unpacked(kind: Kind, data: bytes, folder: Path, *, max_bytes: int = MAX_BYTES) -> dict[str, bytes]:
    """The files that came out, read back from the disk."""
    archive = folder / "archive"
    archive.write_bytes(data)
    into = folder / "into"
    hashes = unpack(kind, archive, into, Meter("test", total=0, max_bytes=max_bytes, beat=lambda: None))
    on_disk = {str(path.relative_to(into)): path.read_bytes() for path in into.rglob("*") if path.is_file()}
    assert {name: len(content) for name, content in on_disk.items()} == {n: h.size for n, h in hashes.items()}
    return on_disk


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(members: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def tarred_special(**fields: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("bad")
        for field, value in fields.items():
            setattr(info, field, value)
        archive.addfile(info)
    return buffer.getvalue()


MODEL = {"m/saved_model.pb": b"graph", "m/variables/index": b"", "m/variables/data": os.urandom(200_000)}


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("zip", zipped(MODEL)),
        ("zip", zipped(MODEL, zipfile.ZIP_STORED)),
        ("tar", tarred(MODEL)),
        ("tar", tarred(MODEL, "w:gz")),
        ("tar", tarred(MODEL, "w:bz2")),
        ("tar", tarred(MODEL, "w:xz")),
    ],
)
def test_contents_come_out_whole(kind: Kind, data: bytes, tmp_path: Path) -> None:
    """The plain journey, for every packing."""
    assert unpacked(kind, data, tmp_path) == MODEL


def test_hidden_and_mac_members_stay_inside(tmp_path: Path) -> None:
    """A second top folder of resource forks would hide the model's own."""
    extra = {"__MACOSX/m/._saved_model.pb": b"x", "m/.DS_Store": b"x", "./": b""}
    assert unpacked("zip", zipped(MODEL | extra), tmp_path) == MODEL


def test_copies_are_private(tmp_path: Path) -> None:
    """Modes in the archive are the maker's wish, not ours."""
    unpacked("tar", tarred(MODEL), tmp_path)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "into").rglob("*")}
    assert modes == {0o600, 0o700}


@pytest.mark.parametrize(
    "name", ["/etc/cron.d/x", "../x", "m/../../x", "..", "C:/x", "m\\..\\x", "m//x", "a/" * 600 + "x", "x" * 300]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_leave_the_folder(kind: Kind, name: str, tmp_path: Path) -> None:
    """Zip slip: the oldest trick, and nothing of the archive may stay behind the check."""
    data = zipped({name: b"x"}) if kind == "zip" else tarred({name: b"x"})
    with pytest.raises(SourceError, match="is refused"):
        unpacked(kind, data, tmp_path)
    assert not (tmp_path / "x").exists()


def test_a_name_cut_by_nul(tmp_path: Path) -> None:
    """zipfile cuts names at NUL: two different members would meet under one name."""
    data = zipped({"a_evil": b"x"}).replace(b"a_evil", b"a\0evil")
    with pytest.raises(SourceError, match="NUL"):
        unpacked("zip", data, tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        {"type": tarfile.SYMTYPE, "linkname": "inside"},
        {"type": tarfile.LNKTYPE, "linkname": "inside"},
        {"type": tarfile.CHRTYPE},
        {"type": tarfile.BLKTYPE},
        {"type": tarfile.FIFOTYPE},
    ],
)
def test_links_and_devices_in_tar(fields: dict[str, object], tmp_path: Path) -> None:
    """A link first and a file through it second is the way around every name check."""
    with pytest.raises(SourceError, match="link or a device"):
        unpacked("tar", tarred_special(**fields), tmp_path)


def test_links_in_zip(tmp_path: Path) -> None:
    """Zip keeps links as files with a mode."""
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(SourceError, match="link or a device"):
        unpacked("zip", buffer.getvalue(), tmp_path)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_one_name_twice(kind: Kind, tmp_path: Path) -> None:
    """Which of the two is the model?"""
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("m", b"1")
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr("m", b"2")
    else:
        with tarfile.open(fileobj=buffer, mode="w") as archive_:
            for name in ("m", "./m"):
                archive_.addfile(tarfile.TarInfo(name))
    with pytest.raises(SourceError, match="'m' twice"):
        unpacked(kind, buffer.getvalue(), tmp_path)


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a")])
def test_a_name_as_file_and_folder(kind: Kind, names: tuple[str, str], tmp_path: Path) -> None:
    """An OSError of ours would read like a broken disk."""
    members = dict.fromkeys(names, b"x")
    with pytest.raises(SourceError, match="both as a file and as a folder"):
        unpacked(kind, zipped(members) if kind == "zip" else tarred(members), tmp_path)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_too_many_members(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million empty files cost inodes, not bytes."""
    monkeypatch.setattr("mlserve.sources.archive.MAX_FILES", 10)
    members = {f"f{n}": b"" for n in range(11)}
    with pytest.raises(SourceError, match="more than 10 members"):
        unpacked(kind, zipped(members) if kind == "zip" else tarred(members), tmp_path)


def test_a_zip_bomb_with_a_lying_header(tmp_path: Path) -> None:
    """The header says ten bytes, the stream holds a hundred megabytes."""
    honest = zipped({"bomb": bytes(100_000_000)})
    true_size = struct.pack("<L", 100_000_000)
    assert honest.count(true_size) == 2
    with pytest.raises(SourceError, match=r"damaged|more than"):
        unpacked("zip", honest.replace(true_size, struct.pack("<L", 10)), tmp_path)
    with pytest.raises(SourceError, match="more than 3000000 bytes"):
        unpacked("zip", honest, tmp_path / "..")
    assert sum(path.stat().st_size for path in tmp_path.rglob("bomb")) <= MAX_BYTES


def test_a_gzip_bomb(tmp_path: Path) -> None:
    """A tar of zeros shrinks a thousandfold."""
    with pytest.raises(SourceError, match="more than 3000000 bytes"):
        unpacked("tar", tarred({"bomb": bytes(50_000_000)}, "w:gz"), tmp_path)


def test_many_members_share_one_bound(tmp_path: Path) -> None:
    """The bound is for the artefact, not for each file."""
    with pytest.raises(SourceError, match="more than 3000000 bytes"):
        unpacked("zip", zipped({f"f{n}": bytes(1_000_000) for n in range(4)}), tmp_path)


def test_a_huge_pax_header(tmp_path: Path) -> None:
    """tarfile reads an extended header in one piece: 10 GB of gzipped zeros would be 10 GB of memory."""
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 10 * 1024**3
    with pytest.raises(SourceError, match="header of 10737418240 bytes"):
        unpacked("tar", gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(100_000)), tmp_path)


def test_a_huge_central_directory(tmp_path: Path) -> None:
    """zipfile reads the table of contents in one piece, however long it says it is."""
    data = bytearray(zipped({"m": b"x"}))
    end = data.rindex(b"PK\x05\x06")
    padded = bytes(20_000_000) + bytes(data)
    patched = bytearray(padded)
    patched[20_000_000 + end + 12 : 20_000_000 + end + 16] = struct.pack("<L", 19_000_000)
    with pytest.raises(SourceError, match="header of 19000000 bytes"):
        unpacked("zip", bytes(patched), tmp_path)


def test_encrypted(tmp_path: Path) -> None:
    """There is nowhere to type a password."""
    data = bytearray(zipped({"m": b"x"}))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + offset] |= 1
    with pytest.raises(SourceError, match="'m' is encrypted"):
        unpacked("zip", bytes(data), tmp_path)


def test_members_whose_memory_cannot_be_bounded(tmp_path: Path) -> None:
    """zipfile decompresses bzip2 and LZMA without a limit."""
    with pytest.raises(SourceError, match="pack it again"):
        unpacked("zip", zipped({"m": b"x"}, zipfile.ZIP_LZMA), tmp_path)


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("data", [b"", b"PK", b"<html>404</html>" * 100, gzip.compress(b"x"), bz2.compress(b"x")])
def test_not_an_archive(kind: Kind, data: bytes, tmp_path: Path) -> None:
    """An error page saved as model.zip must be called what it is."""
    with pytest.raises(SourceError, match="damaged or not a"):
        unpacked(kind, data, tmp_path)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_tar_cut_short_anywhere(mode: str, tmp_path: Path) -> None:
    """tarfile itself takes a file cut between two members for a whole one: half a model."""
    members = {"a": os.urandom(1024), "b": os.urandom(700)}
    whole = tarred(members, mode)
    marks = 2 * 512 + 1024 + 1024  # headers and padded contents; end marks follow
    cuts = range(1, marks + 1, 128) if mode == "w" else range(1, len(whole) - 8, 97)
    for cut in cuts:
        folder = tmp_path / str(cut)
        folder.mkdir()
        with pytest.raises(SourceError, match="damaged"):
            unpacked("tar", whole[:cut], folder)


def test_a_zip_with_a_flipped_bit(tmp_path: Path) -> None:
    """The checksum is there to be looked at."""
    data = bytearray(zipped({"m": b"weights" * 100}, zipfile.ZIP_STORED))
    data[100] ^= 1
    with pytest.raises(SourceError, match="damaged"):
        unpacked("zip", bytes(data), tmp_path)


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 600), at=st.integers(0, 600), byte=st.integers(0, 255), tar=st.booleans())
def test_no_garbage_raises_anything_else(
    cut: int, at: int, byte: int, tar: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any damage gives files or a SourceError, never a crash of the reload."""
    members = {"m/a": b"aaaa", "m/b": b"b" * 100}
    data = bytearray(tarred(members)[:2600] if tar else zipped(members))
    if at < len(data):
        data[at] = byte
    folder = tmp_path_factory.mktemp("garbage")
    with suppress(SourceError):
        unpacked("tar" if tar else "zip", bytes(data[: len(data) - cut]), folder)
    assert {path.name for path in folder.iterdir()} <= {"archive", "into"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("m.zip", "zip"), ("M.ZIP", "zip"), ("m.tar", "tar"), ("m.tar.gz", "tar"), ("m.tgz", "tar"), ("m.gz", None),
     ("m.onnx", None), ("zip", None)],
)  # fmt: skip
def test_kind_by_suffix(name: str, kind: Kind | None) -> None:
    """A model that is not an archive must not be unpacked."""
    assert archive_kind(name) == kind
