"""What a daemon tells of its external tiers: metrics and log lines."""

from __future__ import annotations

import re
import urllib.request
from collections import Counter
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.support.daemon import Daemon


class TierStory:
    """Of one connection and the one model that uses it; the log since line ``since``, or since this was made."""

    def __init__(self, daemon: Daemon, connection: str, model: str, *, since: int | None = None) -> None:
        self._daemon = daemon
        self._connection = connection
        self._model = model
        self._since = len(daemon.log) if since is None else since

    @property
    def is_down(self) -> bool | None:
        """``mlserve_breaker_open``; ``None`` if there is no such series."""
        found = [sample.value for sample in self._series("mlserve_breaker_open", connection=self._connection)]
        return bool(found[0]) if found else None

    @property
    def lookups(self) -> Counter[tuple[str, str]]:
        """Rows by tier and result."""
        series = self._series("mlserve_cache_lookups_total", model=self._model)
        return Counter({(it.labels["tier"], it.labels["result"]): int(it.value) for it in series})

    @property
    def writes(self) -> Counter[str]:
        """Entries by what became of them."""
        series = self._series("mlserve_cache_writes_total", connection=self._connection)
        return Counter({it.labels["result"]: int(it.value) for it in series})

    @property
    def lines(self) -> list[str]:
        """What the log says of the connection, without time and level: its address first, if it is up or down."""
        named = f"connection {self._connection} "
        return [line[line.index(named) + len(named) :] for line in self._daemon.log[self._since :] if named in line]

    def tells(self, *patterns: str) -> None:
        """Waits until the log says of the connection what ``patterns`` say, one line each, and nothing else."""
        self._daemon.wait_until(lambda: len(self.lines) >= len(patterns), 30)
        lines = self.lines
        said = len(lines) == len(patterns) and all(map(re.search, patterns, lines))
        assert said, f"expected {patterns}, the log says {lines}"

    def await_down(self, *, down: bool) -> None:
        """Until the metric says so."""
        self._daemon.wait_until(lambda: self.is_down is down, 30)

    def _series(self, name: str, **labels: str) -> Iterator[Sample]:
        with urllib.request.urlopen(f"{self._daemon.url}/metrics", timeout=30) as answer:
            # The parser is slow, and tests ask often.
            text = "".join(line.decode() for line in answer if line.startswith(name.encode()))
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    yield sample
