"""The meters of one model, and what its hot path calls to move them."""

from __future__ import annotations

from typing import Final

from mlserve.observe.meters import ByMinute, Counter, Histogram, Level, SharedHistogram, Tally

REQUEST_BUCKETS: Final = (5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
INFER_BUCKETS: Final = (1e-5, 2e-5, 5e-5, *REQUEST_BUCKETS[1:])
QUEUE_BUCKETS: Final = (1e-5, 2e-5, *REQUEST_BUCKETS)
CACHE_BUCKETS: Final = (1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1)
ROWS_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
LOAD_BUCKETS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)


class Requests:
    """The requests of one model by one protocol."""

    __slots__ = ("codes", "seconds")

    def __init__(self) -> None:
        self.codes: Tally[int] = Tally()
        self.seconds = Histogram(REQUEST_BUCKETS)


class ModelMetrics:
    """One model's meters. All but ``infer_seconds`` and ``batch_rows`` are written on the event loop only.

    ``ready`` is ``None`` until a load has ended, ``info`` (backend, generation) until one has ended well.
    """

    __slots__ = (
        "batch_rows", "cache_seconds", "flights_joined", "infer_seconds", "info", "keys_refused", "left_loop",
        "load_seconds", "lookups", "model_id", "non_finite", "pending_rows", "queue_seconds", "ready", "reloads",
        "requests", "rows",
    )  # fmt: skip

    def __init__(self, model_id: str) -> None:
        self.model_id = model_id
        self.requests: dict[str, Requests] = {}
        self.rows = Counter()
        self.non_finite = Counter()
        self.flights_joined = Counter()
        self.keys_refused = Counter()
        self.pending_rows = Level()
        self.infer_seconds = SharedHistogram(INFER_BUCKETS)
        self.batch_rows = SharedHistogram(ROWS_BUCKETS)
        self.queue_seconds = Histogram(QUEUE_BUCKETS)
        self.left_loop = Counter()
        self.lookups: Tally[tuple[str, str]] = Tally()
        self.cache_seconds: dict[tuple[str, str], Histogram] = {}
        self.reloads: Tally[str] = Tally()
        self.load_seconds = Histogram(LOAD_BUCKETS)
        self.ready: bool | None = None
        self.info: tuple[str, str] | None = None

    def requests_by(self, protocol: str) -> Requests:
        """Those by one protocol; asking again gives the same."""
        found = self.requests.get(protocol)
        if found is None:
            found = self.requests[protocol] = Requests()
        return found

    def hit(self) -> None:
        """Called for a request of one row that memory answered without being asked by key."""
        self.rows.value += 1
        self.lookups.counts["memory", "hit"] += 1

    def observe_infer(self, seconds: float, rows: int) -> None:
        """Called by the runner after each run, from the thread that ran it."""
        self.infer_seconds.observe(seconds)

    def observe_left_loop(self) -> None:
        """Called when runs that were quick enough for the event loop no longer are."""
        self.left_loop.value += 1

    def observe_queue(self, seconds: float) -> None:
        """Called by the batcher: what a request waited for its run."""
        self.queue_seconds.observe(seconds)

    def observe_batch(self, rows: int) -> None:
        """Called for each run with its rows, from any thread."""
        self.batch_rows.observe(rows)

    def observe_lookup(self, tier: str, result: str, rows: int) -> None:
        """Called by the cache for the rows that a tier answered alike: hit, miss, expired, stale, error, skipped."""
        self.lookups.counts[tier, result] += rows

    def observe_cache(self, tier: str, op: str, seconds: float) -> None:
        """Called by the cache after it read from a tier (``get``) or wrote to it (``put``)."""
        histogram = self.cache_seconds.get((tier, op))
        if histogram is None:
            histogram = self.cache_seconds[tier, op] = Histogram(CACHE_BUCKETS)
        histogram.observe(seconds)

    def observe_joined(self, flights: int) -> None:
        """Called by the cache for rows that wait for a run which another request began."""
        self.flights_joined.value += flights

    def roll(self, *, gap: bool) -> None:
        """A minute begins, for every meter that tells minutes apart."""
        meters: list[ByMinute] = [self.pending_rows, self.lookups, self.reloads, self.load_seconds]
        meters += [self.infer_seconds, self.batch_rows, self.queue_seconds, *self.cache_seconds.values()]
        for requests in self.requests.values():
            meters += [requests.codes, requests.seconds]
        for meter in meters:
            meter.roll(gap=gap)
