"""The LMDB tier: what is on the disk outlives the process, never outgrows its room, and stays private."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from struct import pack
from textwrap import dedent

import pytest

from mlserve.contracts.store import MAX_VALUE_BYTES, Store, StoreFault, StoreOptions, StoreRefused
from mlserve.stores import lmdb as lmdb_store
from mlserve.stores.lmdb import DEFAULT_BYTES, LEAST_BYTES, LmdbStore, place
from tests.support.lmdb_folders import LIFE_S, SIZE_MB, Clock, get, halves, held_up, made, opened, put, turned

MIB = 1024 * 1024
PATIENCE_S = 20.0


def test_it_is_a_store(tmp_path: Path) -> None:
    """The chain knows the contract alone."""
    store: Store = made(tmp_path)
    assert store.name == "lmdb"
    assert store.at_once


@pytest.mark.parametrize(
    ("url", "size_bytes", "expected"),
    [
        ("lmdb:/var/cache", None, ("/var/cache", DEFAULT_BYTES)),
        ("lmdb:///var/cache", None, ("/var/cache", DEFAULT_BYTES)),
        ("lmdb:/my cache/%20", None, ("/my cache/%20", DEFAULT_BYTES)),
        ("lmdb:///var/cache?size_mb=20", None, ("/var/cache", 20 * MIB)),
        ("lmdb:/var/cache?size_mb=20", 30 * MIB, ("/var/cache", 30 * MIB)),
        ("lmdb:/var/cache", LEAST_BYTES, ("/var/cache", LEAST_BYTES)),
    ],
)
def test_where_and_how_large(url: str, size_bytes: int | None, expected: tuple[str, int]) -> None:
    """Both forms name the same folder, letter by letter; the configuration's size goes before the URL's."""
    path, size = place(StoreOptions(url=url, size_bytes=size_bytes))
    assert (str(path), size) == expected


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("lmdb:cache", "expected lmdb:/folder"),
        ("lmdb:", "expected lmdb:/folder"),
        ("lmdb://host/cache", "expected lmdb:/folder"),
        ("lmdb:/c?size=3", "size=3 means nothing here"),
        ("lmdb:/c?size_mb=1.5", "size_mb=1.5 means nothing here"),
        ("lmdb:/c?size_mb=", "size_mb= means nothing here"),
        ("lmdb:/c?size_mb=7", "the least is"),
        ("lmdb:/c?size_mb=0", "the least is"),
    ],
)
async def test_a_url_that_means_nothing(url: str, complaint: str) -> None:
    """Says what was expected, before anything is made on the disk."""
    store = LmdbStore(StoreOptions(url=url))
    with pytest.raises(StoreFault, match=complaint):
        await store.open()
    await store.close()


async def test_a_package_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text holds the command that helps."""
    for module in [name for name in sys.modules if name.startswith("mlserve.stores.lmdb_")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "lmdb", None)
    store = made(tmp_path)
    with pytest.raises(StoreFault, match="pip install 'lmdb>=3'"):
        await store.open()
    await store.close()


async def test_entries_outlive_the_process(tmp_path: Path) -> None:
    """A restart finds what was there, with what is left of its life."""
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        await store.put_many([(b"a", b"1", 10.0), (b"b", b"2", 20.0)])
    clock.now += 15
    async with opened(tmp_path, clock) as store:
        assert await store.get_many([b"a", b"b"]) == [None, b"2"]


async def test_both_halves_outlive_the_process(tmp_path: Path) -> None:
    """A restart knows which half is the newer: an old value would else come back."""
    async with opened(tmp_path) as store:
        await store.put_many([(b"a", b"old", LIFE_S), (b"b", b"1", LIFE_S)])
        await turned(store, tmp_path)
        await put(store, b"a", b"new")
    async with opened(tmp_path) as store:
        assert await store.get_many([b"a", b"b"]) == [b"new", b"1"]


async def test_a_life_may_be_as_long_as_can_be(tmp_path: Path) -> None:
    """A number too large for the entry's eight bytes is no reason to fail."""
    async with opened(tmp_path) as store:
        await put(store, b"a", b"1", float("inf"))
        assert await get(store, b"a") == b"1"


async def test_a_read_never_suspends(tmp_path: Path) -> None:
    """It is called in the request itself: a hop to a thread would cost more than the read."""
    async with opened(tmp_path) as store:
        await put(store, b"a", b"1")
        reading = store.get_many([b"a"])
        with pytest.raises(StopIteration) as ended:
            reading.send(None)
        assert ended.value.value == [b"1"]


async def test_it_never_outgrows_its_room(tmp_path: Path) -> None:
    """Writes go on for ever: the oldest make way, the latest are there, and the files are no larger than they may."""
    async with opened(tmp_path) as store:
        for number in range(0, 2000, 20):
            await store.put_many([(b"%d" % n, b"z" * 10_000, LIFE_S) for n in range(number, number + 20)])
            assert sum(sizes(tmp_path)) <= SIZE_MB * MIB
        assert len(halves(tmp_path)) == 2
        assert await get(store, b"0") is None
        latest = [b"%d" % number for number in range(1800, 2000)]
        assert await store.get_many(latest) == [b"z" * 10_000] * len(latest)


@pytest.mark.parametrize("size", [1, 2100, MAX_VALUE_BYTES])
async def test_a_half_has_room_for_any_batch(tmp_path: Path, size: int) -> None:
    """Values that waste the most of their pages, and the largest ones, never meet a half that is too small for them."""
    async with opened(tmp_path) as store:
        count = 3 * SIZE_MB * MIB // max(size, 256)
        for number in range(0, count, 500):
            items = [(b"%d" % n, b"z" * size, LIFE_S) for n in range(number, min(number + 500, count))]
            await store.put_many(items)
        assert await get(store, b"%d" % (count - 1)) == b"z" * size


async def test_what_is_asked_for_stays(tmp_path: Path) -> None:
    """A hit in the older half is copied, life and all; what nobody asked for goes with it."""
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        await store.put_many([(b"asked for", b"1", 100.0), (b"forgotten", b"2", 100.0)])
        for _ in range(4):
            await turned(store, tmp_path)
            assert await get(store, b"asked for") == b"1"
        assert await get(store, b"forgotten") is None
        clock.now += 99
        assert await get(store, b"asked for") == b"1"
        clock.now += 1
        assert await get(store, b"asked for") is None


async def test_a_copy_never_replaces_a_newer_value(tmp_path: Path) -> None:
    """Whichever of the two reaches the disk first."""
    async with opened(tmp_path) as store:
        await put(store, b"a", b"old")
        await turned(store, tmp_path)
        async with held_up(store):
            assert await get(store, b"a") == b"old"
            newer = asyncio.create_task(put(store, b"a", b"new"))
            await asyncio.sleep(0)
            assert await get(store, b"a") == b"old"
        await newer
        await put(store, b"b", b"after the copies")
        assert await get(store, b"a") == b"new"
        await turned(store, tmp_path)
        assert await get(store, b"a") == b"new"


async def test_a_value_whose_time_is_up_hides_the_older_one(tmp_path: Path) -> None:
    """What it replaced is no answer, though its own life is longer."""
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        await put(store, b"a", b"old", 100.0)
        await turned(store, tmp_path)
        await put(store, b"a", b"new", 1.0)
        clock.now += 2
        assert await get(store, b"a") is None


async def test_copies_alone_push_nothing_out(tmp_path: Path) -> None:
    """Reads of the older half, when the newer is full, leave both as they are: the newer may be asked for just as much.

    Once a put has begun a new half, copies go on.
    """
    async with opened(tmp_path) as store:
        kept: list[bytes] = []
        while len(halves(tmp_path)) < 2:
            kept.append(b"kept %d" % len(kept))
            await put(store, kept[-1], b"z" * 8_000)
        for number in range(len(kept) * 9 // 10):
            await put(store, b"newer %d" % number, b"z" * 8_000)
        before = halves(tmp_path)
        for _ in range(3):
            assert await store.get_many(kept) == [b"z" * 8_000] * len(kept)
            await asyncio.wait_for(_idle(store), PATIENCE_S)
        assert halves(tmp_path) == before
        await turned(store, tmp_path)
        assert await get(store, b"newer 0") is not None
        await asyncio.wait_for(_idle(store), PATIENCE_S)
        await turned(store, tmp_path)
        assert await store.get_many([b"newer 0", b"newer 1"]) == [b"z" * 8_000, None]


async def _idle(store: LmdbStore) -> None:
    assert store._writer is not None
    while store._writer._task is not None and not store._writer._task.done():
        await asyncio.sleep(0)


async def test_a_value_of_somebody_else_that_is_too_large(tmp_path: Path) -> None:
    """It is no answer, and reading it must not cost the memory that it would take."""
    async with opened(tmp_path) as store:
        assert store._writer is not None
        env = store._writer.segments._all[0]._env
        with env.begin(write=True) as txn:
            txn.put(b"large", pack("<Q", 1 << 60) + b"z" * (MAX_VALUE_BYTES + 1))
            txn.put(b"short", b"1234567")
        tracemalloc.start()
        try:
            assert await store.get_many([b"large", b"short"]) == [None, None]
            assert tracemalloc.get_traced_memory()[1] < 100_000
        finally:
            tracemalloc.stop()


async def test_what_is_refused_is_refused_before_anything_is_stored(tmp_path: Path) -> None:
    """The text says which rule; the rest of the batch is the caller's to try again."""
    async with opened(tmp_path) as store:
        with pytest.raises(StoreRefused, match="a value of 1048577 bytes"):
            await store.put_many([(b"a", b"1", LIFE_S), (b"b", b"z" * (MAX_VALUE_BYTES + 1), LIFE_S)])
        with pytest.raises(StoreRefused, match="a name of 501 bytes"):
            await store.put_many([(b"a", b"1", LIFE_S), (b"n" * 501, b"", LIFE_S)])
        with pytest.raises(StoreRefused, match="a name of 0 bytes"):
            await put(store, b"", b"")
        assert await get(store, b"a") is None


def sizes(folder: Path) -> list[int]:
    return [file.stat().st_size for file in folder.rglob("data.mdb")]


def modes(folder: Path) -> dict[str, int]:
    return {path.name.partition("-")[0]: path.stat().st_mode & 0o777 for path in (folder, *folder.rglob("*"))}


async def test_files_are_private(tmp_path: Path) -> None:
    """Answers of models are nobody else's business, whatever the umask."""
    umask = os.umask(0)
    try:
        async with opened(tmp_path / "cache") as store:
            await put(store, b"a", b"1")
            await turned(store, tmp_path / "cache")
            found = modes(tmp_path / "cache")
    finally:
        os.umask(umask)
    assert found == {"mlserve.lock": 0o600, "cache": 0o700, "segment": 0o700, "data.mdb": 0o600, "lock.mdb": 0o600}


async def test_a_full_disk_refuses_writes_and_still_answers(tmp_path: Path) -> None:
    """And once there is room again, writes work without a restart."""
    async with opened(tmp_path) as store:
        await put(store, b"a", b"1")
        used = max(sizes(tmp_path))
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (used + 100_000, before[1]))
        try:
            with pytest.raises(StoreRefused, match="is the disk full"):
                await store.put_many([(b"filler %d" % number, b"z" * 10_000, LIFE_S) for number in range(100)])
            assert await get(store, b"a") == b"1"
            await store.check()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        await put(store, b"b", b"2")
        assert await store.get_many([b"a", b"b"]) == [b"1", b"2"]


async def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    """The text names it, and says what is needed."""
    (tmp_path / "cache").write_text("")
    store = made(tmp_path / "cache")
    with pytest.raises(StoreFault, match=r"cache cannot be used \(File exists\): lmdb: needs a folder"):
        await store.open()
    await store.close()


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``code`` in a Python of its own."""
    return subprocess.run(
        [sys.executable, "-c", dedent(code), *arguments], capture_output=True, text=True, timeout=60, check=False
    )


async def test_a_folder_without_the_right_to_write(tmp_path: Path) -> None:
    """The text names it and the reason."""
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o500)
    code = """
    import asyncio, os, sys
    import mlserve.stores.lmdb_writer  # and all that it imports, while the files of Python can be read
    import tests.support.lmdb_folders as folders
    from pathlib import Path
    if os.getuid() == 0:
        os.setuid(65534)
    async def main():
        store = folders.made(Path(sys.argv[1]))
        try:
            await store.open()
        except Exception as error:
            print(type(error).__name__, error)
        await store.close()
    asyncio.run(main())
    """
    ended = await asyncio.to_thread(run, code, str(folder))
    assert ended.stdout.startswith(f"StoreFault {folder} cannot be used (Permission denied)"), ended.stderr


WRITES = """
import asyncio, sys
import tests.support.lmdb_folders as folders
from pathlib import Path
async def main():
    async with folders.opened(Path(sys.argv[1])) as store:
        number = int(sys.argv[2])
        while True:
            await store.put_many([(b"%d" % n, b"%d." % n * 2_000, folders.LIFE_S) for n in range(number, number + 10)])
            number += 10
            print(number, flush=True)
asyncio.run(main())
"""


async def test_killed_while_it_writes(tmp_path: Path) -> None:
    """Without a chance to close: all that was committed last is there, whole, and nothing is half a value."""
    written = 0
    for batches in (3, 100, 251):  # what is written passes the room several times over
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITES, str(tmp_path), str(written), stdout=asyncio.subprocess.PIPE
        )
        assert child.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(batches):
                written = int(await child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        written = max([written, *map(int, (await child.stdout.read()).split())])
        assert await child.wait() == -signal.SIGKILL
        async with opened(tmp_path) as store:
            names = [b"%d" % number for number in range(written + 20)]
            values = await store.get_many(names)
            assert all(value in (None, (name + b".") * 2_000) for name, value in zip(names, values, strict=True))
            assert None not in values[max(0, written - 200) : written]
    assert int(halves(tmp_path)[-1].removeprefix("segment-")) > 2


async def test_one_folder_belongs_to_one_process(tmp_path: Path) -> None:
    """Another gets a fault that says who has it and what to do; when that one is gone, however, the folder is free."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITES, str(tmp_path), "0", stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    await asyncio.wait_for(child.stdout.readline(), PATIENCE_S)
    store = made(tmp_path)
    with pytest.raises(StoreFault, match=rf"in use by another mlserve \(process {child.pid}\): stop that one"):
        await store.open()
    child.kill()
    await child.stdout.read()
    await child.wait()
    await store.open()
    await put(store, b"a", b"1")
    assert await get(store, b"a") == b"1"
    await store.close()


async def test_one_folder_belongs_to_one_connection(tmp_path: Path) -> None:
    """LMDB must not be opened twice in a process, by whatever name."""
    (tmp_path / "link").symlink_to(tmp_path / "cache")
    async with opened(tmp_path / "cache") as store:
        second = made(tmp_path / "link")
        with pytest.raises(StoreFault, match="in use by another connection of this mlserve"):
            await second.open()
        await put(store, b"a", b"1")
        await second.close()
        with pytest.raises(StoreFault, match="in use"):
            await made_and_opened(tmp_path / "link")
    async with opened(tmp_path / "link") as third:
        assert await get(third, b"a") == b"1"


async def made_and_opened(folder: Path) -> None:
    async with opened(folder):
        pass


async def test_the_end_writes_what_is_in_line(tmp_path: Path) -> None:
    """Nobody whose put returns loses it, and what was in line when the end began is written too."""
    store = made(tmp_path)
    await store.open()
    async with held_up(store):
        puts = [asyncio.create_task(put(store, b"%d" % number, b"v")) for number in range(20)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0)
        with pytest.raises(StoreFault, match="closed"):
            await get(store, b"0")
    await asyncio.gather(*puts, closing)
    async with opened(tmp_path) as again:
        assert None not in await again.get_many([b"%d" % number for number in range(20)])


async def test_the_end_waits_for_no_disk_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Those who wait get a fault, the log says so; and should the disk come back, the folder is given back in order."""
    monkeypatch.setattr(lmdb_store, "FLUSH_S", 0.05)
    monkeypatch.setattr(lmdb_store, "CLOSE_S", 0.05)
    store = made(tmp_path)
    await store.open()
    await put(store, b"a", b"1")
    async with held_up(store):
        under_way = asyncio.create_task(put(store, b"b", b"2"))
        await _turn_of(under_way)
        in_line = asyncio.create_task(put(store, b"c", b"3"))
        await _turn_of(in_line)
        async with asyncio.timeout(PATIENCE_S):
            await store.close()
        for late in (under_way, in_line):
            with pytest.raises(StoreFault, match="closed"):
                await late
        assert "did not close in 0.05 s" in caplog.text
        with pytest.raises(StoreFault, match="in use"):
            await made_and_opened(tmp_path)
    async with asyncio.timeout(PATIENCE_S):
        again = made(tmp_path)
        while True:
            try:
                await again.open()
                break
            except StoreFault:
                await asyncio.sleep(0)
    assert await get(again, b"a") == b"1"
    await again.close()


async def _turn_of(task: asyncio.Task[None]) -> None:
    """Until it waits for the thread, and the writer's task too."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()


async def test_opened_again_after_a_caller_that_left(tmp_path: Path) -> None:
    """What the thread opened for nobody is given back first: it would else be in the way for ever."""
    store = made(tmp_path)
    opening = asyncio.create_task(store.open())
    async with asyncio.timeout(PATIENCE_S):
        while store._held is None:
            await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    await store.open()
    await put(store, b"a", b"1")
    await store.close()


async def test_closed_while_it_opens(tmp_path: Path) -> None:
    """A caller that gave up on opening and closes leaves the folder to others."""
    store = made(tmp_path)
    opening = asyncio.create_task(store.open())
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    await store.close()
    async with opened(tmp_path) as other:
        await put(other, b"a", b"1")
    with pytest.raises(StoreFault, match="closed"):
        await store.open()


async def test_a_caller_that_leaves_while_it_closes(tmp_path: Path) -> None:
    """The end goes on without it."""
    store = made(tmp_path)
    await store.open()
    async with held_up(store):
        waiting = asyncio.create_task(put(store, b"a", b"1"))
        await asyncio.sleep(0)
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing], timeout=PATIENCE_S)
        with pytest.raises(StoreFault, match="closed"):
            await waiting
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await made_and_opened(tmp_path)
                break
            except StoreFault:
                await asyncio.sleep(0)
