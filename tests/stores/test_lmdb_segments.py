"""What is on the disk may be damaged: then the cache begins afresh, and neither the process nor an answer suffers."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlserve.contracts.store import StoreFault
from mlserve.stores import lmdb_folder
from mlserve.stores.lmdb_segments import Segments
from tests.support.lmdb_folders import LIFE_S, NAMES, SIZE_MB, get, halves, opened, put, turned

PAGE = os.sysconf("SC_PAGESIZE")


@pytest.fixture(autouse=True)
def boot(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Says which boot this is, on systems too that do not tell."""
    said = tmp_path_factory.mktemp("boot") / "boot_id"
    said.write_text("this boot\n")
    monkeypatch.setattr(lmdb_folder, "_BOOT_ID", said)
    return said


async def filled(folder: Path) -> None:
    """Two halves: NAMES in the older, ``newer`` in the newer."""
    async with opened(folder) as store:
        await store.put_many([(name, name * 100, LIFE_S) for name in NAMES])
        await turned(store, folder)
        await put(store, b"newer", b"1")


def older(folder: Path) -> Path:
    return folder / halves(folder)[0] / "data.mdb"


def overwritten(data: Path) -> None:
    with data.open("r+b") as file:
        for page in range(2, data.stat().st_size // PAGE, 3):
            file.seek(page * PAGE)
            file.write(random.Random(page).randbytes(PAGE))


def random_metas(data: Path) -> None:
    with data.open("r+b") as file:
        file.write(random.Random(0).randbytes(2 * PAGE))


def halved(data: Path) -> None:
    os.truncate(data, data.stat().st_size // 2)


def cut_to_nothing(data: Path) -> None:
    os.truncate(data, 0)


def foreign(data: Path) -> None:
    data.write_bytes(b"SQLite format 3\0" * 10_000)


def gone(data: Path) -> None:
    data.unlink()


def a_folder(data: Path) -> None:
    data.unlink()
    data.mkdir()


DAMAGE = [overwritten, random_metas, halved, cut_to_nothing, foreign, gone, a_folder]


def unclean(folder: Path, boot: str = "this boot") -> None:
    """As a killed process leaves the note: the files are trusted, for the system has been up since."""
    (folder / lmdb_folder.LOCK_FILE).write_text(json.dumps({"pid": 1, "boot": boot}))


@pytest.mark.parametrize("damage", DAMAGE)
async def test_damaged_while_it_was_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    """The half begins afresh with one line in the log that names it; the other half keeps its entries."""
    await filled(tmp_path)
    damage(older(tmp_path))
    with caplog.at_level(logging.WARNING, "mlserve.stores"):
        async with opened(tmp_path) as store:
            assert await store.get_many(NAMES) == [None] * len(NAMES)
            assert await get(store, b"newer") == b"1"
            await put(store, b"a", b"2")
    (told,) = caplog.records
    assert str(older(tmp_path).parent.with_name("segment-0000000001")) in told.getMessage()
    assert len(halves(tmp_path)) == 1


async def test_the_newer_half_damaged(tmp_path: Path) -> None:
    """The older one then takes the writes, and numbers are not used again."""
    await filled(tmp_path)
    before = halves(tmp_path)
    overwritten(tmp_path / before[1] / "data.mdb")
    async with opened(tmp_path) as store:
        assert await get(store, b"newer") is None
        assert await get(store, NAMES[7]) == NAMES[7] * 100
        await turned(store, tmp_path)
    assert halves(tmp_path) == [before[0], "segment-0000000003"]


READS = """
import asyncio, sys
from pathlib import Path
from mlserve.stores import lmdb_folder
from tests.support.lmdb_folders import LIFE_S, NAMES, opened
lmdb_folder._BOOT_ID = Path(sys.argv[2])
async def main():
    async with opened(Path(sys.argv[1])) as store:
        values = await store.get_many(NAMES)
        assert all(value is None or len(value) == 100 * len(name) for name, value in zip(NAMES, values))
        await store.get_many([b"filler %d" % n for n in range(500)])
        for begin in range(0, 600, 20):
            await store.put_many([(b"%d" % n, b"z" * 1000, LIFE_S) for n in range(begin, begin + 20)])
        assert None not in await store.get_many([b"%d" % n for n in range(600)])
asyncio.run(main())
print("whole")
"""


@pytest.mark.parametrize("damage", DAMAGE)
async def test_damaged_after_an_unclean_end(tmp_path: Path, boot: Path, damage: Callable[[Path], None]) -> None:
    """When only LMDB can tell: the process lives, and reads and writes go on. In a process of its own, in case."""
    await filled(tmp_path)
    unclean(tmp_path)
    damage(older(tmp_path))
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", READS, tmp_path, boot], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (0, "whole\n"), ended.stderr


async def test_damaged_while_it_is_open(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Reads find nothing there, the next write begins a new half, and there is one line in the log."""
    async with opened(tmp_path) as store:
        await store.put_many([(name, name * 100, LIFE_S) for name in NAMES])
        damaged = older(tmp_path)
        with damaged.open("r+b") as file:
            size = damaged.stat().st_size
            file.seek(2 * PAGE)
            file.write(bytes(size - 2 * PAGE))
        assert await store.get_many(NAMES) == [None] * len(NAMES)
        assert await get(store, NAMES[0]) is None
        await put(store, b"a", b"1")
        assert await get(store, b"a") == b"1"
        (told,) = caplog.records
        assert f"{damaged} is damaged" in told.getMessage()
        assert not damaged.exists()


async def test_a_write_comes_upon_damage(tmp_path: Path) -> None:
    """It is stored all the same, in a new half."""
    async with opened(tmp_path) as store:
        await store.put_many([(name, name * 100, LIFE_S) for name in NAMES])
        damaged = older(tmp_path)
        with damaged.open("r+b") as file:
            size = damaged.stat().st_size
            file.seek(2 * PAGE)
            file.write(bytes(size - 2 * PAGE))
        await put(store, NAMES[3], b"1")
        assert await get(store, NAMES[3]) == b"1"
        assert not damaged.exists()


async def test_after_a_power_cut(tmp_path: Path, boot: Path) -> None:
    """The system went down before everything was on the disk: nobody knows what is, so nothing is trusted."""
    await filled(tmp_path)
    unclean(tmp_path)
    await asyncio.to_thread(boot.write_text, "the next boot\n")
    async with opened(tmp_path) as store:
        assert await store.get_many([b"newer", *NAMES]) == [None] * (len(NAMES) + 1)
        await put(store, b"a", b"1")
    async with opened(tmp_path) as store:
        assert await get(store, b"a") == b"1"


async def test_where_the_system_does_not_tell_its_boots(tmp_path: Path, boot: Path) -> None:
    """An orderly end is then the only one that keeps entries."""
    await asyncio.to_thread(boot.unlink)
    await filled(tmp_path)
    async with opened(tmp_path) as store:
        assert await get(store, b"newer") == b"1"
    unclean(tmp_path, boot="")
    async with opened(tmp_path) as store:
        assert await get(store, b"newer") is None


@pytest.mark.parametrize("note", ["", "{", "[]", "17", '{"closed": 3}', '{"closed": {}}', "\0" * 5000])
async def test_a_note_that_says_nothing(tmp_path: Path, note: str) -> None:
    """A crash may leave half of it: nothing is trusted then, and nothing fails."""
    await filled(tmp_path)
    (tmp_path / lmdb_folder.LOCK_FILE).write_text(note)
    async with opened(tmp_path) as store:
        assert await get(store, b"newer") is None
        await put(store, b"a", b"1")


async def test_a_damaged_lock_file_of_lmdb(tmp_path: Path) -> None:
    """It is made anew: a lock that nobody gives back would hold up the first write for ever."""
    await filled(tmp_path)
    for half in halves(tmp_path):
        (tmp_path / half / "lock.mdb").write_bytes(random.Random(1).randbytes(8192))
    async with opened(tmp_path) as store:
        await put(store, b"a", b"1")
        assert await store.get_many([b"a", b"newer"]) == [b"1", b"1"]


async def test_a_crash_between_two_steps(tmp_path: Path) -> None:
    """A half too many, or one that is only begun, is put right at the next start."""
    await filled(tmp_path)
    first, second = halves(tmp_path)
    shutil.copytree(tmp_path / first, tmp_path / "segment-0000000000")
    (tmp_path / "segment-0000000003").mkdir()
    unclean(tmp_path)
    async with opened(tmp_path) as store:
        assert await store.get_many([b"newer", NAMES[0]]) == [b"1", NAMES[0] * 100]
        assert halves(tmp_path) == [first, second]


async def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    """Whatever else somebody keeps in the folder."""
    (tmp_path / "segment-0").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    async with opened(tmp_path) as store:
        await turned(store, tmp_path)
        await turned(store, tmp_path)
    assert (tmp_path / "segment-0").is_dir()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def filled_larger(folder: Path) -> None:
    segments = Segments.open(folder, 8 * SIZE_MB * 1024 * 1024)
    for number in range(8):
        segments.write([(b"%d.%d" % (number, n), b"z" * 10_000, 1 << 60) for n in range(100)], [], 0)
    segments.close()


async def test_less_room_than_before(tmp_path: Path) -> None:
    """Halves that are too large now go: the configuration's bound holds from the start."""
    await asyncio.to_thread(filled_larger, tmp_path)
    async with opened(tmp_path) as store:
        assert await get(store, b"0.0") is None
        await put(store, b"a", b"1")
    assert older(tmp_path).stat().st_size < SIZE_MB * 1024 * 1024


async def test_a_half_that_cannot_be_begun(tmp_path: Path) -> None:
    """The write is refused with the reason, and reads go on."""
    async with opened(tmp_path) as store:
        await put(store, b"a", b"1")
        in_the_way = tmp_path / "segment-0000000002"
        in_the_way.write_text("a file")
        with pytest.raises(StoreFault, match=r"no room for new entries can be made \(File exists\)"):
            await turned(store, tmp_path)
        assert await get(store, b"a") == b"1"
        assert in_the_way.read_text() == "a file"
        in_the_way.unlink()
        await turned(store, tmp_path)
        assert await get(store, b"a") == b"1"


async def test_a_half_that_finds_no_room_on_the_disk(tmp_path: Path) -> None:
    """The write is refused, and what has been begun is not in the way of the next try."""
    batch = [(b"%d" % number, b"z" * 10_000, LIFE_S) for number in range(40)]
    async with opened(tmp_path) as store:
        await store.put_many([(b"filler %d" % number, b"z" * 10_000, LIFE_S) for number in range(310)])
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (PAGE, before[1]))
        try:
            for _ in range(2):
                with pytest.raises(StoreFault, match=r"segment-0000000002/data\.mdb cannot be opened"):
                    await store.put_many(batch)
                assert halves(tmp_path) == ["segment-0000000001"]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        await store.put_many(batch)
        assert await store.get_many([b"0", b"filler 0"]) == [b"z" * 10_000] * 2
