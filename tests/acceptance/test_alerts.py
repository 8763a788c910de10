"""The rules for Prometheus, as promtool runs them, and the page that explains them."""

import os
import re
import shutil
import subprocess

import pytest
import yaml

from tests.acceptance.once import ONCE
from tests.conftest import ROOT
from tests.patience import PATIENCE
from tms_webhooks.telemetry import prometheus

RULES = ROOT / "docs" / "reference" / "alerts.yml"
PAGE = (ROOT / "docs" / "howto" / "alerts.md").read_text(encoding="utf-8")

pytestmark = ONCE


@pytest.fixture
def promtool():
    """Run promtool; return its exit status and output."""
    path = shutil.which("promtool")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("promtool is not installed here. Debian's package prometheus has it.")
        pytest.skip("promtool is not installed here. Debian's package prometheus has it.")

    def run(*arguments):
        done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


def rules():
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


@pytest.mark.slow
def test_each_rule_fires_for_its_cause_alone(promtool):
    status, output = promtool("test", "rules", str(ROOT / "tests" / "acceptance" / "alerts.yml"))

    assert (status, "SUCCESS" in output) == (0, True), output


def test_a_rule_that_never_fires_fails_its_test(promtool, tmp_path):
    cases = (ROOT / "tests" / "acceptance" / "alerts.yml").read_text(encoding="utf-8")
    (tmp_path / "rules.yml").write_text(RULES.read_text(encoding="utf-8").replace("== 2", "== 3"))
    (tmp_path / "cases.yml").write_text(cases.replace("../../docs/reference/alerts.yml", "rules.yml"))

    status, output = promtool("test", "rules", str(tmp_path / "cases.yml"))

    assert status == 1
    assert "WebhooksNotDelivered" in output


def test_the_rules_use_metrics_that_exist():
    used = {name for rule in rules().values() for name in re.findall(r"tms_webhooks_\w+", rule["expr"])}

    assert used - set(prometheus.GAUGES) == {"tms_webhooks_attempts_total"}


def test_the_page_explains_each_rule_with_its_time():
    listed = dict(re.findall(r"^\| `(Webhooks\w+)` \| ([^|]+) \|", PAGE, re.MULTILINE))

    assert list(listed) == list(rules())
    times = {name: rule["for"] for name, rule in rules().items() if name != "WebhooksMostlyFail"}
    assert {name: re.search(r"(\d+) minute", listed[name])[1] + "m" for name in times} == times
