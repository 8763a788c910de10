"""The page of metrics and the dashboard name the metrics that exist, and the page's view serves them."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.conftest import ROOT
from tms_webhooks.telemetry import prometheus

FOLDER = ROOT / "docs" / "reference"
PAGE = (FOLDER / "telemetry.md").read_text(encoding="utf-8")
DASHBOARD = json.loads((FOLDER / "grafana.json").read_text(encoding="utf-8"))
NAME = re.compile(r"tms_webhooks_[a-z_]+")
COUNTS = {
    "tms_webhooks_attempts_total",
    "tms_webhooks_attempt_seconds_bucket",
    "tms_webhooks_attempt_seconds_count",
    "tms_webhooks_attempt_seconds_sum",
}


@pytest.fixture(scope="module")
def exported():
    """Return the names of all series that a scrape can have."""
    registry = CollectorRegistry()
    prometheus.AttemptMetrics(registry).record(error_class="", seconds=0.1)
    samples = {sample.name for metric in registry.collect() for sample in metric.samples}
    return {name for name in samples if not name.endswith("_created")} | set(prometheus.GAUGES)


def test_the_list_has_each_metric(exported):
    listed = set(re.findall(r"^- `(tms_webhooks_\w+)` ", PAGE, re.MULTILINE))

    assert exported == COUNTS | set(prometheus.GAUGES)
    assert listed == {"tms_webhooks_attempts_total", "tms_webhooks_attempt_seconds", *prometheus.GAUGES}


def test_the_page_names_no_other_metric(exported):
    assert set(NAME.findall(PAGE)) - exported == {"tms_webhooks_attempt_seconds"}


def test_each_panel_of_the_dashboard_uses_metrics_that_exist(exported):
    queries = {panel["title"]: [target["expr"] for target in panel["targets"]] for panel in DASHBOARD["panels"]}

    used = {name for exprs in queries.values() for expr in exprs for name in NAME.findall(expr)}
    assert used == exported
    assert [title for title, exprs in queries.items() if not all(NAME.search(expr) for expr in exprs)] == []


def test_the_view_of_the_page_serves_the_gauges(monkeypatch, tmp_path, rf):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    (code,) = re.findall(r"^```python\n(# mysite/metrics\.py\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    names = {}
    exec(code, names)

    response = names["metrics"](rf.get("/metrics"))

    found = set(NAME.findall(response.content.decode()))
    assert response["Content-Type"].startswith("text/plain")
    assert found == set(prometheus.GAUGES)


def test_the_attributes_of_a_span_are_those_of_the_code():
    code = Path(prometheus.__file__).with_name("otel.py").read_text(encoding="utf-8")
    attributes = set(re.findall(r'"((?:http|server|error|tms)\.[a-z_.]+)"', code))

    assert set(re.findall(r"`((?:http|server|error|tms)\.[a-z_.]+)`", PAGE)) == attributes
