"""A source whose content, failures and pace a test decides, and a folder watch that tells when a test says so."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Iterable
from pathlib import Path

from mlserve.errors import SetupError
from mlserve.sources.artifact import Artifact, FileStat, Listing
from mlserve.sources.source import Source

LONG_AGO = 1.0
"""Unix time. What moved then is settled at the first look."""


class FakeSource(Source):
    """One file, ``m.fake``. Counts ``listings``, ``fetches`` and closes; ``copies`` are the folders it made."""

    def __init__(self, content: str = "1") -> None:
        self.url = "fake://m"
        self.ready_file: str | None = None
        self.listing_errors: list[SetupError] = []
        """One is raised by each listing, from the front."""
        self.fetch_errors: list[SetupError] = []
        self.moves_during_fetch = 0
        """So many fetches find at their end that something moved, as an upload that goes on would do."""
        self.listings = 0
        self.fetches = 0
        self.closed = 0
        self.copies: list[Path] = []
        self.fetching = asyncio.Event()
        """Set when a fetch begins."""
        self.go_on = asyncio.Event()
        """While not set, a fetch waits."""
        self.go_on.set()
        self._content = content
        self._version = 0

    def write(self, content: str) -> None:
        """Another content; the same one again is a touched file."""
        self._content = content
        self._version += 1

    def folders(self) -> frozenset[Path]:
        return frozenset({Path("/fake")})

    async def listing(self) -> Listing:
        self.listings += 1
        if self.listing_errors:
            raise self.listing_errors.pop(0)
        return Listing((FileStat("m.fake", len(self._content), str(self._version)),), LONG_AGO)

    async def fetch(self, into: Path) -> Artifact:
        self.fetches += 1
        listing = await self.listing()
        self.fetching.set()
        await self.go_on.wait()
        if self.moves_during_fetch:
            self.moves_during_fetch -= 1
            self.write(self._content)
            self.fetch_errors.insert(0, SetupError("it moved while it was copied"))
        if self.fetch_errors:
            raise self.fetch_errors.pop(0)
        return await asyncio.to_thread(self._copy, into, listing)

    async def close(self) -> None:
        self.closed += 1

    def _copy(self, into: Path, listing: Listing) -> Artifact:
        root = Path(tempfile.mkdtemp(prefix="artifact-", dir=into))
        self.copies.append(root)
        (root / "m.fake").write_text(self._content)
        return Artifact(root, root / "m.fake", hashlib.sha256(self._content.encode()).hexdigest(), listing)


class FakeSubscription:
    """The face of :class:`mlserve.sources.watch.Subscription`."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self.moved = asyncio.Event()
        self.folders = frozenset(folders)
        self.closed = False

    def update(self, folders: Iterable[Path]) -> None:
        self.folders = frozenset(folders)

    def close(self) -> None:
        self.closed = True


class FakeWatch:
    """The face of :class:`mlserve.sources.watch.FolderWatch`; ``tell`` is the news."""

    def __init__(self) -> None:
        self.subscriptions: list[FakeSubscription] = []

    def subscribe(self, folders: Iterable[Path]) -> FakeSubscription:
        self.subscriptions.append(FakeSubscription(folders))
        return self.subscriptions[-1]

    def tell(self) -> None:
        """Something may have moved, somewhere."""
        for subscription in self.subscriptions:
            if not subscription.closed:
                subscription.moved.set()

    async def close(self) -> None:
        """Nothing runs."""
