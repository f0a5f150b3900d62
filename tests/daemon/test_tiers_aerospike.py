"""Aerospike, and the records that mly's clients read: bad nodes, other versions, and what others wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from tests.support.aerospike_double import AerospikeDouble, aerospike_double
from tests.support.aerospike_records import Kept
from tests.support.daemon import Daemon, running
from tests.support.outage import outage
from tests.support.tier_config import one_each
from tests.support.tier_story import TierStory
from tests.support.versions import publish, write_version
from tests.support.witness import witnessed

TIMEOUT_MS: Final = 250
"""The double is Python in a process that has other things to do."""
INTEGER, DOUBLE, TEXT, BLOB = 1, 2, 3, 4

Spoil = Callable[[dict[bytes, tuple[int, bytes]]], dict[bytes, tuple[int, bytes]]]
Stage = tuple[Daemon, dict[str, AerospikeDouble]]

POISONS: Final[dict[str, Spoil]] = {
    "no dictHash": lambda bins: {name: value for name, value in bins.items() if name != b"dictHash"},
    "text for dictHash": lambda bins: bins | {b"dictHash": (TEXT, b"5")},
    "an output missing": lambda bins: {name: value for name, value in bins.items() if name != b"a"},
    "one bin too many": lambda bins: bins | {b"more": (INTEGER, bytes(8))},
    "an integer for a float": lambda bins: bins | {b"a": (INTEGER, bytes(8))},
    "a double that is no float32": lambda bins: bins | {b"a": (DOUBLE, b"\x3f\xb9\x99\x99\x99\x99\x99\x9a")},
    "bytes": lambda bins: bins | {b"a": (BLOB, b"\x80\x04N.")},
    "text that is not UTF-8": lambda bins: bins | {b"a": (TEXT, b"\xff\xfe")},
    "as much as a node keeps": lambda bins: bins | {b"a": (TEXT, b"x" * (8 << 20))},
}


@contextmanager
def _stage(folder: Path, *days: str) -> Iterator[Stage]:
    """One daemon. Each day has a model, a connection and a node of its own, all of the day's name."""
    (folder / "served").mkdir()
    (folder / "served" / "_SUCCESS").touch()
    for version in (1, 2):
        write_version(folder / f"v{version}", version)
    publish(folder / "v1", folder / "served" / "m.onnx")
    with ExitStack() as stack:
        nodes = {day: stack.enter_context(aerospike_double()) for day in days}
        config = folder / "config.yaml"
        urls = {day: node.url for day, node in nodes.items()}
        places = ", Namespace: test, Dataset: scores"
        config.write_text(one_each(urls, timeout_ms=TIMEOUT_MS, datastore=places, url="served, ReadyFile: _SUCCESS"))
        daemon = stack.enter_context(running(config))
        for day in days:
            TierStory(daemon, day, day).await_down(down=False)
        yield daemon, nodes


def test_outages(tmp_path: Path) -> None:
    """A node that is gone, a namespace that hangs, a whole node that does: none is the end of our own threads."""
    with _stage(tmp_path, "stopped", "silent", "mute") as (daemon, nodes):
        for day, node in nodes.items():
            outage(
                daemon,
                day,
                partial(_set_fault, node, day, on=True),
                partial(_set_fault, node, day, on=False),
                said="is down: ",
                served=partial(_asked, node),
            )


def _set_fault(node: AerospikeDouble, day: str, *, on: bool) -> None:
    if day == "silent":
        node.faults.silent = on
    elif day == "mute":
        node.faults.mute = on
    elif on:
        node.stop()
    else:
        node.start()


def _asked(node: AerospikeDouble) -> int:
    return len(node.asked)


def _kept(node: AerospikeDouble) -> dict[bytes, Kept]:
    return dict(node.records._kept["test"])


def test_spoiled_records(tmp_path: Path) -> None:
    """A set is shared with mly's servers and clients, of any version, and with whoever else writes there."""
    with _stage(tmp_path, "m") as (daemon, nodes):
        for x, (name, spoil) in enumerate(POISONS.items()):
            told = _told_of(daemon, nodes["m"], x, spoil)
            assert told in ({("l1", "error"): 1}, {("l1", "stale"): 1}, {("l1", "miss"): 1}), name
        assert TierStory(daemon, "m", "m").is_down is False


def _told_of(daemon: Daemon, node: AerospikeDouble, x: int, spoil: Spoil) -> Counter[tuple[str, str]]:
    """What a spoiled record of a row that nobody asked for yet counts as."""
    story, ask = TierStory(daemon, "m", "m"), f"/v1/api/model/m/eval?x={x}"
    right = {"a": x + 1, "b": x + 1}
    before, written = _kept(node), story.writes["ok"]
    assert daemon.get(ask)[1]["data"] == right
    # Until then it is read from the line of what is to be written.
    daemon.wait_until(lambda: story.writes["ok"] > written)
    (digest,) = _kept(node).keys() - before.keys()
    good = _kept(node)[digest]
    node.records.keep("test", digest, replace(good, bins=spoil(good.bins)))
    counts = [story.lookups]
    assert daemon.get(ask)[1]["data"] == right
    counts.append(story.lookups)
    daemon.wait_until(lambda: _kept(node)[digest].bins == good.bins)
    assert daemon.get(ask)[1]["data"] == right
    counts.append(story.lookups)
    assert counts[2] - counts[1] == {("l1", "hit"): 1}, "the right answer has taken its place"
    return counts[1] - counts[0]


def test_another_version_is_stale(tmp_path: Path) -> None:
    """Records of mly have one place for all versions: dictHash alone keeps a new one from saying what the old said."""
    with _stage(tmp_path, "m") as (daemon, nodes), witnessed(daemon, "m", range(50)) as witness:
        story = TierStory(daemon, "m", "m")
        witness.await_hits("l1")
        daemon.wait_until(lambda: len(_kept(nodes["m"])) == 50)
        for version in (2, 1):
            since, stale = len(daemon.log), story.lookups["l1", "stale"]
            witness.versions |= {version}
            publish(tmp_path / f"v{version}", tmp_path / "served" / "m.onnx")
            daemon.wait_for_log("m replaced", since=since)
            witness.versions = frozenset({version})
            witness.await_answers()
            witness.await_hits("l1")
            assert story.lookups["l1", "stale"] >= stale + 50
            assert len(_kept(nodes["m"])) == 50
        assert story.lookups["l1", "error"] == 0
