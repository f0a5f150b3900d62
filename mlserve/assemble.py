"""Joins the rooms: from a loaded version to its own wrapped ``Predict``.

::

    canonical rows -> cache -> transformer or selection of outputs -> batcher -> runner -> backend

Each is a function from ``Predict`` to ``Predict``, and stands only where the model and its configuration allow it. The
loader calls :meth:`Assembler.__call__` once for each version; nothing else knows how a chain is put together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

from mlserve.batching.admission import Admission
from mlserve.batching.batcher import Batcher
from mlserve.batching.policy import MAX_BATCH_ROWS, batch_policy, max_queued_rows
from mlserve.cache.chain import CacheChain
from mlserve.cache.datastores import Datastores, has_tiers
from mlserve.cache.external import Lease
from mlserve.cache.layout import Layout
from mlserve.cache.mly import MlyLayout, unfit
from mlserve.cache.native import NativeLayout
from mlserve.cache.outer import NO_TIERS, OuterTiers
from mlserve.cache.used_tier import TierUse
from mlserve.cache.view import View
from mlserve.config.schema import BatchConfig, DatastoreConfig
from mlserve.contracts.backend import LoadedModel
from mlserve.inference.canonical import canonical
from mlserve.inference.feed import Feed, Misaligned
from mlserve.inference.independence import dependence, unlike
from mlserve.inference.on_loop import OnLoop
from mlserve.inference.probe import measure_inline_rows, run
from mlserve.inference.refutation import folding_faults
from mlserve.inference.runner import Runner
from mlserve.inference.select import selecting
from mlserve.inference.transformer import load_transformer, transforming
from mlserve.inference.workers import Workers
from mlserve.observe.metrics import Metrics
from mlserve.processors import processors
from mlserve.serving.loader import Assembled, NotByRows, Version
from mlserve.serving.lookups import without_folding
from mlserve.serving.selftest import sample_rows
from mlserve.types import Interface, Predict, Rows, Serving

CONNECT_S: Final = 1.0
"""How long a version waits for its tiers to be connected before it serves without those that are not: else the first
requests after a start would compute what yesterday's cache on disk knows."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What the first runs of a version showed."""

    inline_rows: int = 0
    """The largest request, in rows, that may run on the loop."""
    dependent: str | None = None
    """What a row's answer depends on besides the row: then it is neither batched nor cached."""
    exact: tuple[str, ...] = ()
    """Inputs that are only looked up, says the model's graph; yet it was seen to tell their unknown values apart."""
    warnings: tuple[str, ...] = ()


class Assembler:
    """Makes chains for the models of one process."""

    def __init__(self, metrics: Metrics, datastores: Datastores) -> None:
        self._metrics = metrics
        self._datastores = datastores

    async def __call__(self, version: Version) -> Assembled:
        """Raises ``NotByRows`` if the first runs show that outputs do not line up with rows, and ``LoadError``."""
        config, model = version.config, version.model
        batch = config.batch or BatchConfig()
        feed = Feed(model.signature, version.interface.serving)
        transformer = None
        if config.transformer:
            transformer = await asyncio.to_thread(load_transformer, config.transformer, version.transformer)
        findings = await asyncio.to_thread(_first_runs, version, feed)
        if findings.exact:
            version = replace(version, interface=without_folding(version.interface, findings.exact))
        interface = version.interface

        metrics = self._metrics.model(config.id)

        def observe(seconds: float, rows: int) -> None:
            metrics.observe_infer(seconds, rows)
            metrics.observe_batch(rows)
            admission.observe_run(seconds, rows)

        threads = batch.max_evaluator_concurrency or (await asyncio.to_thread(processors)).count
        policy = batch_policy(batch, max_runs=threads)
        if interface.serving is not Serving.ROWS or findings.dependent:
            policy = None
        runner = Runner(
            config.id,
            model,
            feed,
            threads=threads,
            # Behind a batcher no rows wait here, and those that run are not to count as waiting.
            max_queued_rows=policy.max_runs * policy.max_rows if policy else max_queued_rows(batch),
            on_loop=OnLoop(config.id, findings.inline_rows, on_left=metrics.observe_left_loop),
            observe=observe,
            on_pending=metrics.pending_rows.inc,
        )
        predict: Predict = runner
        owned = AsyncExitStack()
        owned.push_async_callback(runner.close)

        batcher = None
        if policy is not None:
            batcher = Batcher(
                config.id, predict, policy, observe_queue=metrics.observe_queue, on_queued=metrics.pending_rows.inc
            )
            owned.push_async_callback(batcher.close)
            predict = batcher
        admission = Admission(
            config.id,
            predict,
            ahead=lambda: runner.pending_runs if batcher is None else batcher.rows,
            rows_per_run=policy.max_rows if policy else None,
            parallel=policy.max_runs if policy else threads,
        )
        predict = admission
        if transformer is not None:
            workers = Workers(f"{config.id}'s transformer", threads=threads, max_queued_rows=max_queued_rows(batch))
            owned.push_async_callback(workers.close)
            predict = transforming(predict, transformer, interface, config.id, workers)
        else:
            predict = selecting(predict, model.signature, interface.outputs or ())

        warnings = [*findings.warnings]
        why_not = _not_cached(version, findings)
        view = View(interface, None, None, NO_TIERS, why_not)
        if why_not is None and config.store is not None:
            predict, view, unused = await self._cached(version, config.store, predict, owned)
            warnings += unused
        return Assembled(
            canonical(predict, interface),
            owned.aclose,
            view,
            tuple(warnings),
            batcher.state if batcher is not None else None,
            interface,
        )

    async def _cached(
        self, version: Version, store: DatastoreConfig, predict: Predict, owned: AsyncExitStack
    ) -> tuple[Predict, View, list[str]]:
        """``predict`` behind the tiers of ``store``, the view of them, and what is to be told of those of no use."""
        metrics, interface = self._metrics.model(version.config.id), version.interface
        memory = self._datastores.memory(store)
        lease = self._datastores.external.lease(store)
        owned.push_async_callback(lease.release)
        await lease.tried(CONNECT_S)
        uses, unused = _tier_uses(lease, interface, store)
        if memory is None and not uses:
            return predict, View(interface, None, None, NO_TIERS, "; ".join(unused)), unused
        if memory is None:
            unused += _never_read(uses)
        outer = OuterTiers(uses, observe=metrics.observe_lookup, observe_seconds=metrics.observe_cache)
        chain = CacheChain(
            predict,
            interface=interface,
            generation=version.generation,
            memory=memory,
            ttl_s=store.time_to_live_ms.total_seconds(),
            outer=outer,
            observe=metrics.observe_lookup,
            observe_joined=metrics.observe_joined,
        )
        owned.push_async_callback(chain.close)
        return chain, View(interface, chain, memory, outer, None), unused


def _not_cached(version: Version, findings: Findings) -> str | None:
    """Why this version is not cached; ``None`` if it is."""
    config, store = version.config, version.config.store
    reasons = (
        (store is None, "it names no DataStore"),
        (not config.use_dict, "UseDict is false"),
        (not version.model.deterministic, "equal inputs may give different outputs"),
        (findings.dependent is not None, findings.dependent or ""),
        (store is not None and store.disabled, "its DataStore is disabled"),
        (store is not None and not has_tiers(store), "its DataStore has neither a Cache nor a Connection"),
    )
    return next((reason for applies, reason in reasons if applies), None)


def _tier_uses(lease: Lease, interface: Interface, store: DatastoreConfig) -> tuple[list[TierUse], list[str]]:
    """How one version uses the external tiers of its datastore, and a warning for each that it cannot use."""
    uses = []
    warnings = []
    native = NativeLayout()
    for leased in lease.tiers:
        layout: Layout[Any, Any] = native
        ttl_s = (leased.config.time_to_live_ms or store.time_to_live_ms).total_seconds()
        if leased.config.keeps_records:
            why_not = unfit(interface)
            if why_not is not None:
                warnings.append(f"{leased.label} keeps none of its answers, in the layout of mly's clients: {why_not}")
                continue
            layout = MlyLayout(interface, longest_life_s=ttl_s)
        uses.append(TierUse(leased.label, leased.tier, layout, ttl_s, leased.config.read_only))
    return uses, warnings


def _never_read(uses: Sequence[TierUse]) -> list[str]:
    """A warning if none of the tiers that keep a version's answers gives them back to the server."""
    said = [f"{use.label} is {use.layout.written_only}" for use in uses if use.layout.written_only is not None]
    return [f"{'; '.join(said)}; give its datastore a Cache"] if len(said) == len(uses) else []


def _first_runs(version: Version, feed: Feed) -> Findings:
    """Blocks. Raises ``NotByRows``."""
    config, model, interface = version.config, version.model, version.interface

    def sample(count: int) -> Rows:
        return sample_rows(interface, config.test, count)

    try:
        # Two sizes: an output that always has two elements lines up with two rows by chance.
        for count in (1,) if interface.serving is Serving.WHOLE else (1, 2):
            run(model, feed, sample(count))
        dependent: str | None = None
        exact: tuple[str, ...] = ()
        warnings = []
        if interface.serving is not Serving.WHOLE and model.deterministic:
            one = sample(1)
            dependent = dependence(model, feed, one, _other_row(model, feed, one))
            if dependent:
                warnings.append(f"{dependent}: this version is neither batched nor cached")
            else:
                exact = folding_faults(model, feed, one, interface)
            if exact:
                warnings.append(
                    f"{_named(exact)}: values out of its vocabulary get different answers, so each is exact"
                )
        most_rows = (config.batch and config.batch.max_batch_size) or MAX_BATCH_ROWS
        inline_rows = measure_inline_rows(model, feed, sample, most_rows)
        return Findings(inline_rows, dependent, exact, tuple(warnings))
    except Misaligned as error:
        raise NotByRows(str(error)) from error
    except Exception as error:  # the row was made up: the model may be right to refuse it
        return Findings(warnings=(f"not warmed up, made-up values fail ({_brief(error)}); give a row in Test.Single",))


def _other_row(model: LoadedModel, feed: Feed, one: Rows) -> Rows:
    """A row unlike ``one`` that the model takes; ``one`` itself if it takes none of those that are made up."""
    for words in (True, False):
        other = unlike(one, words=words)
        try:
            run(model, feed, other)
        except Misaligned:
            raise
        except Exception:  # noqa: S112  # the model may be right to refuse it, such as a word that it does not know
            continue
        return other
    return one


def _named(inputs: tuple[str, ...]) -> str:
    return f"input{'s' if len(inputs) > 1 else ''} {', '.join(map(repr, inputs))}"


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
