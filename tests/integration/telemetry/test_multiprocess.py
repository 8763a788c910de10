"""Several processes share their counters in the folder PROMETHEUS_MULTIPROC_DIR."""

import pytest

from tests.scripts import run_script

SCRIPT = """
from tests import settings
settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "TELEMETRY": ["prometheus"]}
import os
from pathlib import Path
import django
django.setup()
from tms_webhooks import signals
from tms_webhooks.models import Delivery

def attempt():
    signals.attempt_recorded.send(Delivery, error_class="", seconds=0.1)
    print(len(list(folder.glob("*.db"))))

folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
print(len(list(folder.glob("*.db"))))
attempt()
attempt()
folder.mkdir(exist_ok=True)
attempt()
"""


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "metrics"))
    return tmp_path / "metrics"


def test_without_the_folder_the_project_starts_and_counts_nothing(folder):
    process = run_script(SCRIPT)

    # It counts as soon as the folder exists.
    assert process.stdout.split() == ["0", "0", "0", "2"]
    assert process.stderr.count("Attempts are not counted") == 1
    assert str(folder) in process.stderr
    assert "Create the folder PROMETHEUS_MULTIPROC_DIR." in process.stderr


def test_a_process_has_files_from_its_first_attempt_on(folder):
    folder.mkdir()

    process = run_script(SCRIPT)

    assert process.stdout.split() == ["0", "2", "2", "2"]
    assert process.stderr == ""
