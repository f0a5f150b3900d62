"""``docs/metrics.md`` has every metric with its labels and buckets: dashboards are written from it."""

from __future__ import annotations

import re

from prometheus_client.metrics import MetricWrapperBase

from mlserve.observe.metrics import Metrics
from tests.support.markdown import ROOT, code, prose, rows_of

PAGE = ROOT / "docs" / "metrics.md"
SUFFIXES = {"counter": "_total", "info": "_info"}
"""What the exposition adds to names."""

OURS = {
    f"{metric._name}{SUFFIXES.get(metric._type, '')}": metric
    for metric in Metrics().registry._collector_to_names
    if isinstance(metric, MetricWrapperBase)
}


def kind_of(metric: MetricWrapperBase) -> str:
    return "gauge" if metric._type == "info" else metric._type


def labels_of(metric: MetricWrapperBase) -> list[str]:
    fixed = [label for sample in metric.collect() for one in sample.samples for label in one.labels]
    return fixed if metric._type == "info" else list(metric._labelnames)


def test_every_metric_has_a_row_with_its_kind_and_labels() -> None:
    """A metric that nobody can find, or an expression with a label that there is not."""
    rows = rows_of(PAGE, "Metric")
    documented = {code(name)[0]: (kind, code(labels)) for name, (kind, labels, _) in rows.items()}
    assert documented == {name: (kind_of(metric), labels_of(metric)) for name, metric in OURS.items()}


def test_buckets_are_those_of_the_code() -> None:
    rows = rows_of(PAGE, "Histogram")
    documented = {code(name)[0]: [float(bound) for bound in bounds.split(",")] for name, (bounds,) in rows.items()}
    histograms = {name: metric for name, metric in OURS.items() if metric._type == "histogram"}
    assert documented == {name: list(metric._kwargs["buckets"]) for name, metric in histograms.items()}


def test_expressions_ask_for_metrics_that_there_are() -> None:
    """An alert on a metric that was renamed never fires."""
    expressions = " ".join(expression for (expression,) in rows_of(PAGE, "Question").values())
    asked = {name.removesuffix("_bucket") for name in re.findall(r"mlserve_\w+", expressions)}
    assert asked
    assert asked <= OURS.keys()


def test_metrics_of_the_library_are_named_by_their_beginnings() -> None:
    beginnings = tuple(text.removesuffix("*") for text in code(prose(PAGE)))
    families = {family.name for family in Metrics().registry.collect()}
    assert {name for name in families if not name.startswith(("mlserve_", *beginnings))} == set()
