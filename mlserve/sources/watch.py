"""Notices that something moved in local folders, for all models at once, in one thread of watchfiles.

The news is only "look again": who subscribed lists its folder and decides. So news may come twice or for nothing, and
whenever the watcher itself starts anew everybody is told, because something may have moved in between. Only the
folders themselves are watched, not what is below them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, Final

import watchfiles

_log = logging.getLogger("mlserve.sources.watch")
_TICK_MS: Final = 250
"""How often the thread looks whether a folder came, went, or was replaced by another of the same name."""
_LONGEST_TICK_MS: Final = 1000
"""A look takes some microseconds a folder: with more folders than a tick has milliseconds, it is one for each."""
_APART_S: Final = 0.25
"""Between two starts of the watcher. Each tells everybody to look again, and a server that starts asks for hundreds."""
_POLL_S: Final = 1.0
_CLOSE_S: Final = 2.0

Watch = Callable[..., Iterator[Collection[tuple[Any, str]]]]
"""The shape of :func:`watchfiles.watch`."""
Anchor = tuple[Path, int, int]
"""The nearest existing folder, with device and inode: the same name may become another folder."""


class Subscription:
    """One subscriber's folders. ``moved`` is set when something moved in one of them; the subscriber clears it."""

    def __init__(self, owner: FolderWatch, folders: Iterable[Path]) -> None:
        self.moved = asyncio.Event()
        self.folders = frozenset(folders)
        self._owner = owner

    def update(self, folders: Iterable[Path]) -> None:
        """Watch these folders instead. They need not exist."""
        before, self.folders = self.folders, frozenset(folders)
        self._owner._move(self, before)  # noqa: SLF001  # the two classes are one thing to everybody else

    def close(self) -> None:
        """No more news."""
        self._owner._drop(self)  # noqa: SLF001  # as above


class FolderWatch:
    """The watcher of a process. Made and used on one event loop; ``close`` it there.

    ``watch`` is :func:`watchfiles.watch`, or what a test puts in its place. If it fails, for example because the
    system has no inotify watches left, folders are polled each ``poll_s`` seconds from then on, after one warning.
    """

    def __init__(self, *, watch: Watch = watchfiles.watch, poll_s: float = _POLL_S) -> None:
        self._watch = watch
        self._poll_s = poll_s
        self._subscriptions: set[Subscription] = set()
        self._subscribers: Counter[Path] = Counter()
        """By folder; it never has a folder without any."""
        self._wanted: frozenset[Path] = frozenset()
        self._stop = threading.Event()
        self._renewed = threading.Event()
        self._thread: threading.Thread | None = None
        self._ended = asyncio.Event()

    def subscribe(self, folders: Iterable[Path]) -> Subscription:
        """Start telling somebody about ``folders``, which need not exist."""
        if self._stop.is_set():
            raise RuntimeError("this FolderWatch is closed")
        subscription = Subscription(self, folders)
        self._subscriptions.add(subscription)
        self._move(subscription, frozenset())
        return subscription

    async def close(self) -> None:
        """End the thread; a thread that hangs on a dead mount is left behind."""
        self._stop.set()
        self._renewed.set()
        if self._thread is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._ended.wait()
        except TimeoutError:
            _log.warning("watching %d folders hangs; its thread is left behind", len(self._wanted))

    def _move(self, subscription: Subscription, before: frozenset[Path]) -> None:
        """``subscription`` has other folders than ``before``."""
        came, went = subscription.folders - before, before - subscription.folders
        unknown = not came <= self._subscribers.keys()
        self._subscribers.update(came)
        self._subscribers.subtract(went)
        unwanted = [folder for folder in went if not self._subscribers[folder]]
        for folder in unwanted:
            del self._subscribers[folder]
        if unknown or unwanted:
            self._renew()
        elif came:
            # Nobody is told anew of folders that are watched already, and they may have moved before this.
            subscription.moved.set()

    def _renew(self) -> None:
        self._wanted = frozenset(self._subscribers)
        self._renewed.set()
        if self._thread is None and self._wanted:
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, args=(loop,), name="mlserve-watch", daemon=True)
            self._thread.start()

    def _drop(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            before, subscription.folders = subscription.folders, frozenset()
            self._move(subscription, before)

    def _tell(self, folders: Collection[Path]) -> None:
        for subscription in self._subscriptions:
            if not subscription.folders.isdisjoint(folders):
                subscription.moved.set()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """The thread. It alone touches file systems; it reaches the loop only through ``_tell`` and ``_ended``."""

        def tell(folders: Collection[Path]) -> None:
            if folders:
                loop.call_soon_threadsafe(self._tell, folders)

        started = -inf
        with suppress(RuntimeError):  # the loop ended without closing us
            while not self._stop.wait(started + _APART_S - monotonic()):
                started = monotonic()
                self._renewed.clear()
                wanted = self._wanted
                try:
                    self._follow(wanted, tell)
                except FileNotFoundError:
                    self._renewed.wait(_TICK_MS / 1000)  # a folder went between looking and watching
                except Exception as error:  # whatever the system or the library has against watching
                    _log.warning("cannot watch folders (%s: %s); polling them instead", type(error).__name__, error)
                    self._poll(tell)
            loop.call_soon_threadsafe(self._ended.set)

    def _follow(self, wanted: frozenset[Path], tell: Callable[[Collection[Path]], None]) -> None:
        """Watch until the wanted folders, or what their names lead to, change."""
        anchors = _anchors(wanted)
        if not anchors:
            self._renewed.wait()
            return
        fresh = True
        for changes in self._watch(
            *sorted({str(anchor[0]) for anchor in anchors.values()}),
            watch_filter=None,
            debounce=200,
            rust_timeout=min(max(_TICK_MS, len(anchors)), _LONGEST_TICK_MS),
            yield_on_timeout=True,
            stop_event=self._renewed,
            raise_interrupt=False,
            recursive=False,
            ignore_permission_denied=True,
        ):
            tell(wanted if fresh else _touched(anchors, [Path(path) for _, path in changes]))
            fresh = False
            if _anchors(wanted) != anchors:
                return

    def _poll(self, tell: Callable[[Collection[Path]], None]) -> None:
        before: dict[Path, object] = {}
        while not self._stop.is_set():
            self._renewed.clear()
            now: dict[Path, object] = {folder: _contents(folder) for folder in self._wanted}
            tell([folder for folder, contents in now.items() if folder not in before or before[folder] != contents])
            before = now
            self._renewed.wait(self._poll_s)


def _anchors(folders: Iterable[Path]) -> dict[Path, Anchor]:
    """For each folder the nearest one above (or itself) that exists now."""
    found: dict[Path, Anchor] = {}
    for folder in folders:
        # Looked at several times a second: the usual case, a folder that exists, must not cost more than its stat.
        for candidate in chain((folder,), folder.parents):
            try:
                status = os.stat(candidate)
            except OSError:
                continue
            if stat.S_ISDIR(status.st_mode):
                found[folder] = (candidate, status.st_dev, status.st_ino)
                break
    return found


def _touched(anchors: dict[Path, Anchor], moved: Iterable[Path]) -> set[Path]:
    """The folders that ``moved`` paths are news for: a path in the folder itself, or one on the way to it."""
    paths = set(moved)
    parents = {path.parent for path in paths}
    return {
        folder
        for folder, (anchor, _, _) in anchors.items()
        if folder in paths or (folder in parents if anchor == folder else not paths.isdisjoint(folder.parents))
    }


def _contents(folder: Path) -> object:
    """Something that differs when the folder's entries do; ``None`` without a folder."""
    try:
        with os.scandir(folder) as entries:
            stats = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except OSError:
        return None
    return {(name, status.st_ino, status.st_size, status.st_mtime_ns) for name, status in stats}
