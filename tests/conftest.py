"""What every test is held to: nothing of mlserve blocks the event loop, and no test leaves tasks or threads behind."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

_THREADS = pytest.StashKey[frozenset[threading.Thread]]()
_LIBRARY_THREADS = frozenset({"fsspecIO"})
"""Threads of libraries that live as long as the process: fsspec's event loop."""
_PATIENCE_S = 5.0
"""How long a thread that is on its way out may take; joining it is a condition, not a sleep."""


@pytest.fixture(autouse=True)
def _watched(request: pytest.FixtureRequest) -> None:
    request.node.stash[_THREADS] = frozenset(threading.enumerate())
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_never_blocking")
        request.getfixturevalue("_no_task_left")


@pytest.fixture
def _never_blocking() -> Iterator[BlockBuster]:
    """A blocking call below a function of mlserve, on the loop, fails the test; tests themselves may block."""
    with blockbuster_ctx("mlserve") as blockbuster:
        # /proc is memory of the kernel, not a disk: these reads take microseconds.
        for function in ("os.stat", "os.listdir", "io.BufferedReader.read", "io.TextIOWrapper.read"):
            blockbuster.functions[function].can_block_in("prometheus_client/process_collector.py", "collect")
        # A plug-in is imported on first use, once in the life of a process and before its first request.
        for function in ("os.stat", "os.getcwd", "os.listdir", "io.BufferedReader.read", "io.TextIOWrapper.read"):
            blockbuster.functions[function].can_block_in("mlserve/registry.py", "resolve")
            blockbuster.functions[function].can_block_in("mlserve/registry.py", "_entry_points")
        # Tracebacks quote source lines, read once per file; an error with a traceback is rare.
        blockbuster.functions["io.TextIOWrapper.read"].can_block_in("linecache.py", "updatecache")
        # Finalizers of libraries (fsspec's sessions) run wherever the collector happens to find their objects.
        for watched in blockbuster.functions.values():
            watched.can_block_in("weakref.py", "__call__")
        yield blockbuster


@pytest.fixture
async def _no_task_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"tasks left behind: {sorted(map(repr, left))}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Compares threads once the test's fixtures are gone, its loop and that loop's default executor among them."""
    result = yield
    before = item.stash.get(_THREADS, None)
    for thread in threading.enumerate():
        if before is not None and thread not in before and thread.name not in _LIBRARY_THREADS:
            thread.join(_PATIENCE_S)
            assert not thread.is_alive(), f"thread left behind: {thread.name}"
    return result
