"""``TMS_WEBHOOKS_ORGANIZATION_MODEL``: without it nothing can be imported; with a wrong one Django's words are many."""

import os
import sys

import pytest

from tests import forks


def check_in_own_process(organization_model):
    """Run ``check`` with this setting; return what it prints, which must be an error."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.unit.checks.hosts",
        "TMS_TEST_ORGANIZATION_MODEL": organization_model,
        "TMS_DATABASE": "sqlite:///:memory:",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    done = forks.run("-m", "django", "check", env=environment)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr


@pytest.mark.parametrize("value", ["", "Organization", "training."])
def test_a_missing_or_malformed_name_stops_the_import_with_the_remedy(value):
    error = check_in_own_process(value).strip().splitlines()[-1]
    assert error == (
        "tms_webhooks.exceptions.ConfigurationError: TMS_WEBHOOKS_ORGANIZATION_MODEL is "
        f"{value or None!r}; set it to your organization model as 'app_label.ModelName', for example "
        "'training.Organization', before the first migrate."
    )


@pytest.mark.slow
def test_a_model_that_does_not_exist_is_reported_in_addition_to_djangos_message():
    printed = check_in_own_process("training.Organisation")
    assert "(tms_webhooks.E009) TMS_WEBHOOKS_ORGANIZATION_MODEL is 'training.Organisation'" in printed
    assert 'Did you mean "training.Organization"' in printed
    assert "(fields.E300)" in printed
