"""``docs/metrics.md`` has every metric with its labels and buckets: dashboards are written from it."""

from __future__ import annotations

import re

from prometheus_client import Metric

from tests.support.exercised import exercised_metrics, exposed
from tests.support.markdown import ROOT, code, prose, rows_of

PAGE = ROOT / "docs" / "metrics.md"

FAMILIES = exposed(exercised_metrics())


def name_of(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def labels_of(metric: Metric) -> set[str]:
    return metric.samples[0].labels.keys() - {"le"}


def bounds_of(metric: Metric) -> list[float]:
    bounds = [float(sample.labels["le"]) for sample in metric.samples if sample.name.endswith("_bucket")]
    return bounds[:-1]


OURS = {name_of(metric): metric for metric in FAMILIES if metric.name.startswith("mlserve_")}


def test_every_metric_has_a_row_with_its_kind_and_labels() -> None:
    """A metric that nobody can find, or an expression with a label that there is not."""
    rows = rows_of(PAGE, "Metric")
    documented = {code(name)[0]: (kind, set(code(labels))) for name, (kind, labels, _) in rows.items()}
    assert documented == {name: (metric.type, labels_of(metric)) for name, metric in OURS.items()}


def test_buckets_are_those_of_the_code() -> None:
    rows = rows_of(PAGE, "Histogram")
    documented = {code(name)[0]: [float(bound) for bound in bounds.split(",")] for name, (bounds,) in rows.items()}
    assert documented == {name: bounds_of(metric) for name, metric in OURS.items() if metric.type == "histogram"}


def test_expressions_ask_for_metrics_that_there_are() -> None:
    """An alert on a metric that was renamed never fires."""
    expressions = " ".join(expression for (expression,) in rows_of(PAGE, "Question").values())
    asked = {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"mlserve_\w+", expressions)}
    assert asked
    assert asked <= OURS.keys()


def test_metrics_of_the_library_are_named_by_their_beginnings() -> None:
    beginnings = tuple(text.removesuffix("*") for text in code(prose(PAGE)))
    assert {family.name for family in FAMILIES if not family.name.startswith(("mlserve_", *beginnings))} == set()
