"""The meters as gmetric operations: what mly's dashboards and probes read, under mly's names.

Each operation is a name and a way to read the meters that ``/metrics`` shows. Operations of mly whose numbers do not
exist here are left out, and counters without a number stay 0; ``docs/metrics.md`` lists both. An operation is read for
a :class:`~mlserve.observe.meters.Period`: since the start, or one of the two minutes that ``Recent`` shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from mlserve.config.schema import Config
from mlserve.observe.meters import Level, Period, Span
from mlserve.observe.metrics import Metrics, ModelMetrics

SERVICE: Final = "github.com/viant/mly/service"
"""The ``Location`` of the operations that mly's server has; those of its datastores lie in :data:`DATASTORE`."""
DATASTORE: Final = "github.com/viant/mly/shared/datastore"


@dataclass(frozen=True, slots=True)
class Key:
    """One counter of an operation. ``peak`` is given for what comes and goes: then ``count`` is how many are there."""

    name: str
    count: int = 0
    peak: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """An operation in one period. ``span`` is in seconds; ``keys`` are in mly's order, ``None`` if it has none."""

    count: int
    span: Span
    keys: Sequence[Key] | None
    custom: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """``minutes`` is how many of them ``Recent`` shows."""

    name: str
    description: str
    location: str
    read: Callable[[Period], Reading]
    minutes: int = 2


def operations(metrics: Metrics, config: Config) -> Iterator[Operation]:
    """Every operation there is now: six for each model, one for each datastore that a model names."""
    models = [model for model_id, model in metrics.models.items() if model_id]
    for model in models:
        for suffix, description, read, minutes in _OF_MODEL:
            name, text = model.model_id + suffix, f"{model.model_id} {description}"
            yield Operation(name, text, SERVICE, partial(read, model), minutes)
    for store in config.datastores:
        users = {model.id for model in config.models if model.data_store == store.id}
        readers = [model for model in models if model.model_id in users]
        yield Operation(store.id, f"{store.id} datastore performance", DATASTORE, partial(_cache_reads, readers))


def _handler(model: ModelMetrics, period: Period) -> Reading:
    codes, span = _answers(model, period)
    failed = sum(count for code, count in codes.items() if code != 200)
    return Reading(span.count, span, (Key("error", failed), Key("canceled"), Key("deadlineExceeded", codes[504])))


def _perf(model: ModelMetrics, period: Period) -> Reading:
    codes, span = _answers(model, period)
    keys = (
        Key("error", codes[500]),
        Key("eval", codes[200]),
        Key("pending", _there(model.pending_rows, period)),
        Key("timeout"),
        Key("invalid", codes[400]),
        Key("canceled"),
        Key("deadlineExceeded", codes[504]),
        Key("overloaded", codes[429]),
    )
    return Reading(span.count, span, keys)


def _eval(model: ModelMetrics, period: Period) -> Reading:
    span = model.infer_seconds.of(period)
    running = Key("running", _there(model.pending_rows, period), model.pending_rows.peak(period))
    return Reading(span.count, span, (Key("error", _answers(model, period)[0][500]), running))


def _queue(model: ModelMetrics, period: Period) -> Reading:
    span = model.queue_seconds.of(period)
    return Reading(span.count, span, None)


def _dispatcher(model: ModelMetrics, period: Period) -> Reading:
    runs = model.batch_rows.of(period)
    custom = {"Elements": int(runs.total), "Batches": model.queue_seconds.of(period).count}
    return Reading(runs.count, Span(), [Key(name) for name in ("timeout", "closing", "full", "instant")], custom)


def _reload(model: ModelMetrics, period: Period) -> Reading:
    results = model.reloads.of(period)
    keys = (Key("error", results.get("failed", 0)), Key("canceled"), Key("deadlineExceeded"))
    return Reading(sum(results.values()), model.load_seconds.of(period), keys)


_OF_MODEL: Final[Sequence[tuple[str, str, Callable[[ModelMetrics, Period], Reading], int]]] = (
    ("HTTPHandler", "handler performance", _handler, 2),
    ("Perf", "service performance", _perf, 2),
    ("Eval", "evaluator performance", _eval, 2),
    ("BatcherQueue", "batcher queue performance", _queue, 2),
    ("Dispatcher", "dispatcher performance", _dispatcher, 2),
    ("Reload", "reloading", _reload, 1),
)


def _cache_reads(models: Sequence[ModelMetrics], period: Period) -> Reading:
    """Rows looked up. A tier is asked for what those before it lack, so the first tier was asked for all of them."""
    asked: Counter[str] = Counter()
    results: Counter[tuple[str, str]] = Counter()
    for model in models:
        for (tier, result), count in model.lookups.of(period).items():
            if result != "skipped":
                asked[tier] += count
                results[tier, result] += count
    rows, hits = max(asked.values(), default=0), sum(results[tier, "hit"] for tier in asked)

    def lacking(tier: str) -> int:
        return asked[tier] - results[tier, "hit"]

    keys = (
        Key("error", sum(results[tier, "error"] for tier in asked)),
        Key("noKey", rows - hits),
        Key("collision"),
        Key("cacheHit", results["memory", "hit"]),
        Key("expired", sum(results[tier, "expired"] for tier in asked)),
        Key("hasValue", hits),
        Key("L2NoKey", lacking("l2")),
        Key("L1Copy", results["l2", "hit"]),
        Key("timeout"),
        Key("down"),
        Key("localHasValue", results["memory", "hit"]),
        Key("localNoKey", lacking("memory")),
        Key("L1NoKey", lacking("l1")),
        Key("L1HasValue", results["l1", "hit"]),
    )
    times = (it.of(period) for model in models for (_, op), it in model.cache_seconds.items() if op == "get")
    return Reading(rows, sum(times, Span()), keys)


def _answers(model: ModelMetrics, period: Period) -> tuple[Counter[int], Span]:
    """Answers by status and their times, whatever the protocol."""
    codes: Counter[int] = Counter()
    span = Span()
    for requests in model.requests.values():
        codes.update(requests.codes.of(period))
        span += requests.seconds.of(period)
    return codes, span


def _there(level: Level, period: Period) -> int:
    """How many are there now; nobody is there in a minute that has passed."""
    return 0 if period is Period.PREVIOUS else level.value
