"""Without the libraries, and without the setting, everything works; with them, the setting is all it takes."""

import pytest

from tests.scripts import run_script

pytestmark = pytest.mark.slow

SCRIPT = """
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
from tests import settings
settings.TMS_WEBHOOKS = {{**settings.TMS_WEBHOOKS, "TELEMETRY": {telemetry!r}}}
import django
django.setup()
from django.core.management import call_command
from tms_webhooks import signals
from tms_webhooks.checks.settings import check_packages
from tms_webhooks.worker.send import observers
from tms_webhooks.models import Delivery

call_command("check", stdout=sys.stderr)
print("counts", signals.attempt_recorded.has_listeners(Delivery))
print("traces", [observer.func.__name__ for observer in observers])
# Not the libraries: django-q2 looks for one of them itself. The view of the health is in the project's URLs.
modules = {{name for name in sys.modules if name.startswith("tms_webhooks.telemetry.")}}
print("loaded", sorted(modules - {{"tms_webhooks.telemetry.health"}}))
print("said", [message.id for message in check_packages()])
"""
PACKAGES = ["prometheus_client", "opentelemetry"]


def started(*, blocked, telemetry):
    """Start Django in a process of its own; return what it found, and what it logged."""
    process = run_script(SCRIPT.format(blocked=blocked, telemetry=telemetry))
    return dict(line.split(" ", 1) for line in process.stdout.splitlines()), process.stderr


@pytest.mark.parametrize("blocked", [[], PACKAGES], ids=["installed", "missing"])
def test_nothing_is_loaded_unless_the_setting_lists_it(blocked):
    found, logged = started(blocked=blocked, telemetry=[])

    assert found == {"counts": "False", "traces": "[]", "loaded": "[]", "said": "[]"}
    assert "TELEMETRY" not in logged


def test_the_modules_in_the_setting_are_connected():
    found, _logged = started(blocked=[], telemetry=["prometheus", "otel"])

    assert found == {
        "counts": "True",
        "traces": "['AttemptSpan']",
        "loaded": "['tms_webhooks.telemetry.otel', 'tms_webhooks.telemetry.prometheus']",
        "said": "[]",
    }


def test_a_missing_package_is_logged_and_does_not_stop_the_start():
    found, logged = started(blocked=PACKAGES, telemetry=["otel", "prometheus"])

    assert found == {
        "counts": "False",
        "traces": "[]",
        "loaded": "[]",
        "said": "['tms_webhooks.W014', 'tms_webhooks.W014']",
    }
    assert "TELEMETRY lists prometheus, which can't be imported: No module named 'prometheus_client'" in logged
    assert "TELEMETRY lists otel, which can't be imported: No module named 'opentelemetry'" in logged


def test_one_can_be_had_without_the_other():
    found, _logged = started(blocked=["opentelemetry"], telemetry=["prometheus"])

    assert (found["counts"], found["loaded"], found["said"]) == ("True", "['tms_webhooks.telemetry.prometheus']", "[]")
