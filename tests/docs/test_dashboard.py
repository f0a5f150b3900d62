"""``docs/grafana-dashboard.json`` asks for what a running server shows: a panel on a misspelt name stays empty."""

from __future__ import annotations

import json
import re
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.daemon import running
from tests.support.markdown import ROOT, rows_of
from tests.support.promql import Selected, selected
from tests.support.versions import write_version

DASHBOARD: dict[str, Any] = json.loads((ROOT / "docs" / "grafana-dashboard.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {variable["name"] for variable in DASHBOARD["templating"]["list"]} | {"__rate_interval"}


def expressions() -> Iterator[str]:
    for panel in PANELS:
        yield from (target["expr"] for target in panel["targets"])
    yield from (annotation["expr"] for annotation in DASHBOARD["annotations"]["list"])
    yield from (expression for (expression,) in rows_of(ROOT / "docs" / "metrics.md", "Question").values())


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[set[str]]]:
    """Name of each sample to the labels of each of its series, of a server that was asked a few things."""
    folder: Path = tmp_path_factory.mktemp("dashboard")
    write_version(folder / "m.onnx", 1)
    (folder / "c.yaml").write_text(
        "Models: [{ID: m, URL: m.onnx, DataStore: hot}]\n"
        "Datastores: [{ID: hot, Cache: {SizeMB: 1}, Connection: disk}]\n"
        "Connections: [{ID: disk, URL: 'lmdb:./cache'}]\n",
        encoding="utf-8",
    )
    with running(folder / "c.yaml") as daemon:
        daemon.wait_for_log(r"connection disk \(.*\) is up")
        for _ in range(2):
            daemon.get("/v1/api/model/m/eval?x=1.5")
        with urllib.request.urlopen(f"{daemon.url}/metrics", timeout=10) as response:
            text = response.read().decode()
    found: dict[str, list[set[str]]] = defaultdict(list)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name].append(set(sample.labels))
    return found


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_every_name_and_label_is_one_that_the_server_shows(expression: str, shown: dict[str, list[set[str]]]) -> None:
    """Of the dashboard, and of the questions in ``metrics.md``."""
    asked = selected(expression)
    assert asked
    for one in asked:
        assert one.name in shown, f"{one.name} is not shown"
        assert any(one.labels <= labels for labels in shown[one.name]), f"{one.name} has no {one.labels}"


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_every_variable_is_defined(expression: str) -> None:
    """Else Grafana sends the dollar sign to Prometheus."""
    used = set(re.findall(r"\$\{?(\w+)", expression))
    assert used <= VARIABLES


def test_the_panels_cover_what_operators_ask() -> None:
    """Requests, errors, latency, hits, tiers, queue, batches, reloads, readiness, memory."""
    names = {one.name for expression in expressions() for one in selected(expression)}
    assert {
        "mlserve_requests_total", "mlserve_request_seconds_bucket", "mlserve_cache_lookups_total",
        "mlserve_queue_seconds_bucket", "mlserve_batch_rows_sum", "mlserve_reloads_total", "mlserve_model_ready",
        "mlserve_cache_bytes", "process_resident_memory_bytes", "mlserve_cache_seconds_bucket", "mlserve_breaker_open",
        "mlserve_cache_writes_total",
    } <= names  # fmt: skip


def test_grafana_can_place_and_tell_apart_every_panel() -> None:
    """Ids are unique, nothing overlaps, nothing is wider than the page, and each says what it shows."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        own = {(x, y) for x in range(place["x"], place["x"] + place["w"])
               for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not own & cells, panel["title"]
        cells |= own
    assert all(panel["description"] and panel["datasource"]["uid"] == "${datasource}" for panel in PANELS)


def test_expressions_are_read_as_prometheus_reads_them() -> None:
    """The check above is worth what it finds."""
    found = selected('sum by (le, model) (rate(mlserve_a_bucket{x="1", y!~"b"}[5m])) / on(z) process_b > mlserve_c')
    assert found == [
        Selected("mlserve_a_bucket", frozenset({"x", "y", "le", "model", "z"})),
        Selected("process_b", frozenset({"le", "model", "z"})),
        Selected("mlserve_c", frozenset({"le", "model", "z"})),
    ]
