"""Copies of models: what a killed process left must go, and nothing that belongs to somebody else."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from mlserve.daemon.workdir import WorkDirs, work_dir
from mlserve.errors import SourceError

HOLD = """
import sys, time
from pathlib import Path
from mlserve.daemon.workdir import work_dir
with work_dir(Path(sys.argv[1])) as folder:
    (folder / "model").write_text("big")
    print(folder, flush=True)
    time.sleep(600)
"""


def test_a_private_folder_that_goes(tmp_path: Path) -> None:
    """Models may be secret, and disks are small."""
    with work_dir(tmp_path / "made" / "on demand") as folder:
        assert folder.parent == tmp_path / "made" / "on demand"
        assert folder.name.startswith("mlserve-models-")
        assert folder.stat().st_mode & 0o077 == 0
        (folder / "artifact").mkdir()
        (folder / "artifact" / "model").write_text("big")
        assert [entry.name for entry in folder.parent.iterdir()] == [folder.name]
    assert list((tmp_path / "made" / "on demand").iterdir()) == []


def test_it_goes_after_an_error_too(tmp_path: Path) -> None:
    """A failed start is the most common end of a process."""
    with pytest.raises(ZeroDivisionError), work_dir(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And what a living one holds is not: two servers may run on one machine."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            held = Path(other.stdout.readline().strip())
            with work_dir(tmp_path) as mine:
                assert (held / "model").read_text() == "big"
                assert mine != held
        finally:
            other.send_signal(signal.SIGKILL)
            other.wait()
    assert held.exists()
    with caplog.at_level(logging.INFO), work_dir(tmp_path) as mine:
        assert not held.exists()
        assert mine.exists()
    assert f"removed {held}, left behind by a process that is gone" in caplog.text


def test_foreign_files_are_not_touched(tmp_path: Path) -> None:
    """The system's temporary folder belongs to everybody."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".lock").touch()
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    (temporary / "mlserve-models-notes.txt").write_text("mine")
    (temporary / "mlserve-models-backup").mkdir()
    (temporary / "mlserve-models-backup" / "model").write_text("mine")
    (temporary / "mlserve-models-link").symlink_to(elsewhere)
    (temporary / "another-thing").mkdir()
    before = sorted(temporary.rglob("*"))
    with work_dir(temporary):
        pass
    assert sorted(temporary.rglob("*")) == before
    assert (elsewhere / ".lock").exists()


def test_a_folder_is_locked_before_others_can_see_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that starts at the same moment would take an unlocked folder for abandoned, and remove it."""
    locked: list[list[str]] = []
    flock = fcntl.flock

    def watching(file: object, operation: int) -> None:
        locked.append([path.name for path in tmp_path.glob("mlserve-models-*")])
        flock(file, operation)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(fcntl, "flock", watching)
    with work_dir(tmp_path) as folder:
        assert locked == [[]]
        with (folder / ".lock").open("r+") as second, pytest.raises(BlockingIOError):
            flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_one_folder_per_location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``Location`` is relative to the configuration; without it, the system's temporary folder is used."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    folders = WorkDirs()
    made = {
        folders.below(location, str(tmp_path / "config"))
        for location in (None, None, "copies", "./copies", str(tmp_path / "config" / "copies"))
    }
    assert {folder.parent for folder in made} == {tmp_path / "tmp", tmp_path / "config" / "copies"}
    assert len(made) == 2
    folders.close()
    assert not any(folder.exists() for folder in made)


def test_several_threads_ask_for_one_folder(tmp_path: Path) -> None:
    """Models load side by side."""
    folders = WorkDirs()
    found: list[Path] = []
    start = threading.Barrier(4)

    def ask() -> None:
        start.wait()
        found.append(folders.below(None, str(tmp_path)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    folders.close()


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("s3://bucket/copies", "is a URL: local copies need a folder of this machine"),
        ("file.txt", r"no local copies can be made in .*file\.txt \(Location\): "),
        ("file.txt/below", "Not a directory"),
    ],
)
def test_a_location_that_cannot_be(location: str, words: str, tmp_path: Path) -> None:
    """The error names the setting, and the next try may succeed."""
    (tmp_path / "file.txt").touch()
    folders = WorkDirs()
    with pytest.raises(SourceError, match=words):
        folders.below(location, str(tmp_path))
    os.unlink(tmp_path / "file.txt")
    folders.close()
