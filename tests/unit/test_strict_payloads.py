"""A payload error raises in tests and under DEBUG; in production it is logged, and the host's save succeeds."""

import json
import os

from tests import forks
from tests.conftest import ROOT
from tms_webhooks.conf import strict_payloads

HOST = """
import json
import django
from django.conf import settings

settings.configure(EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend")
django.setup()
from django.core.mail import send_mail
from django.test.utils import setup_test_environment, teardown_test_environment
from tms_webhooks.conf import strict_payloads

found = [strict_payloads()]
send_mail("Subject", "Text", "from@example.com", ["to@example.com"])
found.append(strict_payloads())
setup_test_environment()
found.append(strict_payloads())
teardown_test_environment()
found.append(strict_payloads())
print(json.dumps(found))
"""


def test_only_a_test_run_is_strict_and_no_mail_makes_production_one():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    done = forks.run("-c", HOST, env=environment)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [False, False, True, False]


def test_tests_are_strict_unless_the_setting_says_otherwise(settings_of_app):
    assert strict_payloads() is True
    settings_of_app(STRICT_PAYLOADS=False)
    assert strict_payloads() is False


def test_debug_is_strict(settings, monkeypatch):
    monkeypatch.setattr("tms_webhooks.conf.is_test_environment", lambda: False)
    assert strict_payloads() is False
    settings.DEBUG = True
    assert strict_payloads() is True
