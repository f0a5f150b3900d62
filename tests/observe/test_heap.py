"""Who looks for a leak would look in the wrong place, or slow the server down for good, if these failed."""

from __future__ import annotations

import re
import threading
import tracemalloc
from collections.abc import Iterator

import pytest

from mlserve.observe.heap import heap_report
from tests.support.exercised import FakeStats


class Kept:
    """Counted by its name."""


class Rude:
    """A class whose size cannot be told."""

    def __sizeof__(self) -> int:
        raise RuntimeError("no")


@pytest.fixture
def stopped() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@pytest.fixture
def _traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_objects_by_type(stopped: threading.Event) -> None:
    """Most frequent first, whatever a class does when it is asked."""
    kept = [Kept() for _ in range(1_000_000 // 5)], Rude()
    report = heap_report({}, 0, stopped)
    match = re.search(r"test_heap\.Kept +([\d,]+) ", report)
    assert match
    assert int(match[1].replace(",", "")) == len(kept[0])


def test_the_process_and_its_caches(stopped: threading.Event) -> None:
    """Under the names of the configuration."""
    report = heap_report({"hot": FakeStats(used_bytes=3 << 20, entries=1234)}, 0, stopped)
    assert re.search(r"hot +3\.0 MiB +1,234 entries", report)
    assert re.search(r"resident now +[\d,]+\.\d MiB", report) or "does not tell its size" in report
    assert "  none" in heap_report({}, 0, stopped)
    assert "add ?seconds=10" in report


def test_what_is_kept_is_told_by_line() -> None:
    """Tracing costs every allocation: it ends with the report."""
    stop, kept = threading.Event(), list[bytes]()

    def allocate() -> None:
        while not tracemalloc.is_tracing():
            pass
        for _ in range(50):
            kept.append(bytes(100_000))
        stop.set()

    thread = threading.Thread(target=allocate)
    thread.start()
    report = heap_report({}, 30, stop)
    thread.join()
    match = re.search(r"([\d,.]+) KiB +[\d,]+ blocks  \S*test_heap\.py", report)
    assert match, report
    assert float(match[1].replace(",", "")) > 1000
    assert not tracemalloc.is_tracing()


@pytest.mark.usefixtures("_traced")
def test_tracing_that_was_on_stays_on(stopped: threading.Event) -> None:
    """Somebody started Python with ``-X tracemalloc``."""
    heap_report({}, 1, stopped)
    assert tracemalloc.is_tracing()
