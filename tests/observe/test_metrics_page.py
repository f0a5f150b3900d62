"""A page of metrics that differs from what was counted, or that keeps requests waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import Metric, generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from mlserve.observe.exposition import MODELS_OF_SLICE
from mlserve.observe.metrics import Metrics
from mlserve.observe.metrics_page import metrics_page
from tests.support.exercised import FakeStats

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


@pytest.fixture
def metrics() -> Metrics:
    """Of some slices of models, one of which was asked nothing, and of ids that nobody configured."""
    made = Metrics()
    made.watch_datastore("d", FakeStats())
    made.request("", "eval", 404, 0.001)
    for number in range(2 * MODELS_OF_SLICE + 1):
        model = made.model(f'm"{number}')
        if number:
            made.request(model.model_id, "eval", 200, number / 1000)
            model.observe_lookup("memory", "hit", number)
            model.observe_infer(number / 1e5, 1)
    return made


def steady(families: Iterator[Metric]) -> dict[str, Metric]:
    """All but those of the process, which change while one looks."""
    return {family.name: family for family in families if not family.name.startswith(("process", "python"))}


@pytest.mark.parametrize(("accept", "read"), [("", read_text), (OPENMETRICS, read_openmetrics)])
async def test_the_page_says_what_one_piece_would(
    accept: str, read: Callable[[str], Iterator[Metric]], metrics: Metrics
) -> None:
    """A series lost, told twice, or outside of its family is a hole in a dashboard, or a page that nobody can read."""
    encode, _ = choose_encoder(accept)
    sliced = await metrics_page(metrics.registry.slices(), encode)
    whole = encode(metrics.registry)
    assert steady(read(sliced.decode())) == steady(read(whole.decode()))
    assert sliced.count(b"# TYPE") == whole.count(b"# TYPE")
    assert sliced.endswith(whole[-6:])


async def test_others_get_their_turn_between_slices(metrics: Metrics) -> None:
    """With a thousand models, every request would wait a second for each scrape."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await metrics_page(metrics.registry.slices(), generate_latest)
    task.cancel()
    await asyncio.wait([task])
    assert turns >= 3


async def test_models_may_come_and_go_meanwhile(metrics: Metrics) -> None:
    """A reload of the configuration during a scrape would answer it with 500."""
    slices = metrics.registry.slices()

    def disturbed() -> Iterator[list[Metric]]:
        for number, families in enumerate(slices):
            yield list(families)
            metrics.model(f"new{number}").rows.inc()

    page = await metrics_page(disturbed(), generate_latest)
    assert b'model="m\\"1"' in page


async def test_a_scraper_that_leaves_ends_the_page(metrics: Metrics) -> None:
    """Its page would be written to its end for nobody."""
    task = asyncio.create_task(metrics_page(metrics.registry.slices(), generate_latest))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
