"""The pytest plugin without pytest-django, and without a test that uses it; `test_howto_test` runs it with pytest-django."""

import os
import subprocess
import sys

import pytest

from tests.acceptance.once import ONCE
from tests.conftest import ROOT
from tests.patience import PATIENCE

pytestmark = [pytest.mark.slow, ONCE]

TEST = """
from example_project.training.factories import OrganizationFactory, TrainingClassFactory
from tms_webhooks.testing import assert_event


def test_a_cancelled_class_is_reported(webhook_events, webhook_receiver, deliver_webhooks):
    organization = OrganizationFactory()
    training_class = TrainingClassFactory(organization=organization)
    webhook_receiver.subscribe(organization, "class.cancelled")

    training_class.cancel()
    deliver_webhooks()

    assert_event(webhook_events, "class.cancelled", data={"status.name": "Cancelled"})
    assert [event["type"] for event in webhook_receiver.events] == ["class.cancelled"]
"""

WITHOUT_PYTEST_DJANGO = """
import django
import pytest
from django.test.utils import get_runner, setup_databases, setup_test_environment, teardown_databases
from django.db import connection, transaction

django.setup()


@pytest.fixture(scope="session", autouse=True)
def database():
    setup_test_environment()
    connection.settings_dict["TEST"]["MIGRATE"] = False  # the tables are enough
    made = setup_databases(verbosity=0, interactive=False)
    yield
    teardown_databases(made, verbosity=0)
"""

UNUSED = """
import sys


def test_nothing_of_django_is_there():
    assert not [name for name in sys.modules if name.split(".")[0] in {"django", "rest_framework", "cryptography"}]
    assert [name for name in sys.modules if name.startswith("tms_webhooks")] == ["tms_webhooks", "tms_webhooks.pytest_plugin"]
"""


@pytest.fixture
def project(tmp_path):
    """Run pytest on these files in a folder of their own; return what it printed."""

    def project(*arguments, environment, **files):
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        clean = {
            name: value for name, value in os.environ.items() if name not in {"DJANGO_SETTINGS_MODULE", "TMS_DATABASE"}
        }
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "-n", "0", *arguments]
        process = subprocess.run(
            command,
            cwd=tmp_path,
            env={**clean, **environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    return project


HOST = {"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(ROOT)}


def test_it_works_without_pytest_django(project):
    printed = project(
        *("-p", "no:django", "test_host.py"), environment=HOST, test_host=TEST, conftest=WITHOUT_PYTEST_DJANGO
    )

    assert "1 passed" in printed


def test_it_does_nothing_where_it_is_not_used(project):
    # The other plugins that happen to be installed here are left out: some of them import Django.
    printed = project(
        "-p", "no:django", "-p", "no:randomly", "-p", "no:Faker", "test_other.py", environment={}, test_other=UNUSED
    )

    assert "1 passed" in printed
