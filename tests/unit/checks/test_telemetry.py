"""What the setting TELEMETRY lists has to be installed."""

from __future__ import annotations

import sys

import pytest

from tests.unit.checks.conftest import ids, only
from tms_webhooks import telemetry
from tms_webhooks.checks.settings import check_metrics_folder, check_names_and_values, check_telemetry
from tms_webhooks.worker.send import observers


@pytest.fixture
def _nothing_installed(monkeypatch) -> None:
    for name in ("prometheus_client", "opentelemetry", "opentelemetry.trace"):
        # Python's own mark of a module that can't be imported.
        monkeypatch.setitem(sys.modules, name, None)


def test_what_is_installed_needs_no_word(settings) -> None:
    settings.TMS_WEBHOOKS = {"TELEMETRY": ["prometheus", "otel"]}
    assert check_telemetry() == []


@pytest.mark.usefixtures("_nothing_installed")
def test_a_missing_package_is_named_with_its_extra(settings) -> None:
    settings.TMS_WEBHOOKS = {"TELEMETRY": ["otel"]}
    message = only(check_telemetry(), "W014")
    assert message.msg == "TMS_WEBHOOKS['TELEMETRY'] lists 'otel', but opentelemetry.trace is not installed."
    assert message.hint == "Install it with pip install 'tms-webhooks[otel]', or remove the entry."


@pytest.mark.usefixtures("_nothing_installed")
def test_what_is_not_listed_may_be_missing() -> None:
    assert check_telemetry() == []


@pytest.mark.parametrize("value", ["prometheus", ["statsd"], [["otel"]], [3], 7, None])
def test_another_value_is_refused_and_starts_nothing(settings, value) -> None:
    settings.TMS_WEBHOOKS = {"TELEMETRY": value}

    telemetry.connect()

    assert observers == []
    assert ids(check_names_and_values()) == ["E003"]
    assert check_telemetry() == []


def test_a_folder_of_counters_that_is_missing_is_named(settings, monkeypatch, tmp_path) -> None:
    settings.TMS_WEBHOOKS = {"TELEMETRY": ["prometheus"]}
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "absent"))
    message = only(check_metrics_folder(), "W019")
    assert message.msg == (
        f"PROMETHEUS_MULTIPROC_DIR is '{tmp_path}/absent', which is not a folder that this process can write to: no "
        "attempts are counted."
    )
    assert message.hint.startswith("Create the folder when the machine starts")


@pytest.mark.parametrize("telemetry", [["prometheus"], []])
def test_a_folder_that_exists_or_is_not_used_needs_no_word(settings, monkeypatch, tmp_path, telemetry) -> None:
    settings.TMS_WEBHOOKS = {"TELEMETRY": telemetry}
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / ("" if telemetry else "absent")))
    assert check_metrics_folder() == []


def test_one_process_needs_no_folder(settings, monkeypatch) -> None:
    settings.TMS_WEBHOOKS = {"TELEMETRY": ["prometheus"]}
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    assert check_metrics_folder() == []
