"""Every byte that enters is counted and hashed, or a wrong answer has no name."""

from __future__ import annotations

import io
import logging
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlserve.errors import SourceError
from mlserve.sources.artifact import FileStat
from mlserve.sources.place import Beat, Readable, Sight
from mlserve.sources.transfer import FileHash, Meter, copy_files, copy_stream, digest


class Fixed:
    """A place whose files do not care what was listed."""

    def __init__(self, **files: bytes) -> None:
        self._files = files

    def look(self, extra: object, beat: Beat) -> Sight:
        raise AssertionError

    def open(self, name: str) -> AbstractContextManager[Readable]:
        return closing(io.BytesIO(self._files[name]))

    def close(self) -> None:
        raise AssertionError


def meter(max_bytes: int = 10_000_000) -> Meter:
    return Meter("memory://m", total=0, max_bytes=max_bytes, beat=lambda: None)


@pytest.mark.parametrize("listed", [2, 4])
def test_other_lengths_than_listed_are_refused(listed: int, tmp_path: Path) -> None:
    """A file cut or grown while it is copied is half a model."""
    with pytest.raises(SourceError, match=f"a gave 3 bytes instead of {listed}"):
        copy_files(Fixed(a=b"123"), [FileStat("a", listed, "")], tmp_path, meter())


def test_unknown_lengths_are_taken(tmp_path: Path) -> None:
    """Some http servers tell none."""
    assert copy_files(Fixed(a=b"123"), [FileStat("a", -1, "")], tmp_path, meter())["a"].size == 3


def test_the_bound_holds_whatever_was_announced(tmp_path: Path) -> None:
    """An endless stream must stop at MaxBytes, not at the end of the disk."""

    class Endless:
        def read(self, size: int, /) -> bytes:
            return bytes(size)

    with pytest.raises(SourceError, match="more than 5000000 bytes"):
        copy_stream(Endless(), tmp_path / "f", meter(5_000_000))
    assert (tmp_path / "f").stat().st_size <= 5_000_000


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Two names for one file (on disks that ignore case) must not silently become one."""
    (tmp_path / "f").write_bytes(b"first")
    with pytest.raises(FileExistsError):
        copy_stream(io.BytesIO(b"second"), tmp_path / "f", meter())


def test_long_copies_report_every_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    """Half an hour of silence looks like a hang; a line per chunk drowns the log."""
    caplog.set_level(logging.INFO, "mlserve.sources.fetch")
    now = [0.0]
    counter = Meter("s3://b/m", total=400, max_bytes=1000, beat=lambda: None, clock=lambda: now[0])
    for _ in range(25):
        now[0] += 1
        counter.add(10)
    assert caplog.messages == ["s3://b/m: 100 of 400 bytes so far", "s3://b/m: 200 of 400 bytes so far"]


names = st.text(alphabet="ab/é\udcff", min_size=1, max_size=4)
hashes = st.builds(FileHash, st.integers(0, 3), st.sampled_from([b"\0" * 32, b"\1" * 32]))


@given(st.dictionaries(names, hashes, max_size=4), st.dictionaries(names, hashes, max_size=4))
def test_digests_are_equal_exactly_when_contents_are(one: dict[str, FileHash], other: dict[str, FileHash]) -> None:
    """The law that generations, and so every cached answer, rest on; order must not matter."""
    assert (digest(one) == digest(other)) == (one == other)
    assert digest(dict(reversed(one.items()))) == digest(one)
