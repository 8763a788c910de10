"""What the README tells people to copy works as it stands there."""

import os
import re

import pytest
from standardwebhooks import WebhookVerificationError

from example_project.training.factories import TrainingClassFactory
from tests import forks
from tests.conftest import ROOT
from tests.factories import WebhookFactory
from tms_webhooks.models.encryption import reveal

README = (ROOT / "README.md").read_text(encoding="utf-8")
SET_UP = "python3 -m venv .venv && .venv/bin/pip install -q -U pip && .venv/bin/pip install -q -e . --group {group} && "

# Stands in for a host project: it knows only what the README's lines add to it.
HOST = """
import sys, types
import django
from django.conf import settings

sys.path.insert(0, "host")
import base
settings.configure(**{name: value for name, value in vars(base).items() if name.isupper()})
# The example project has webhooks.py of its own; this host writes its first one.
sys.modules["example_project.training.webhooks"] = types.ModuleType("nothing")
django.setup()

from django.core.management import call_command
call_command("check", "--fail-level", "WARNING")
call_command("migrate", verbosity=0)

from example_project.training.factories import TrainingClassFactory
from tms_webhooks.models import Event, Webhook
from tms_webhooks.sources.registry import all_sources

training_class = TrainingClassFactory()
organization = training_class.organization
{register}
training_class.cancel()
print("sources:", [type(source).__name__ for source in all_sources()])
print("events:", [event.type for event in Event.objects.order_by("pk")])
print("secret:", secret)
"""


def section(heading):
    """Return the text under a heading of the README, up to the next one."""
    found = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## )", README, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section {heading!r}"
    return found[1]


def blocks(heading, language):
    """Return the code blocks of a language in a section, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", section(heading), re.MULTILINE | re.DOTALL)


@pytest.fixture
def request_and_secret(db, receiver, drain):
    """A real request of the app, as it came over the wire, and the secret that signed it."""
    training_class = TrainingClassFactory()
    webhook = WebhookFactory(organization=training_class.organization, url=receiver.url, events=["class.cancelled"])
    training_class.cancel()
    drain()
    (request,) = receiver.received
    return request, reveal(webhook.secrets.get().value)


def test_there_are_commands_of_one_line_that_set_everything_up():
    manage = ".venv/bin/python manage.py"
    assert blocks("Try it", "sh") == [
        f"{SET_UP.format(group='demo')}{manage} demo\n",
        f"{manage} demo --serve\n",
        f"{SET_UP.format(group='dev')}.venv/bin/python -m pytest\n",
    ]


def test_adding_the_app_takes_ten_lines_at_most():
    settings, webhooks, _register = blocks("Add it to your TMS", "python")
    lines = [line for line in f"{settings}{webhooks}".splitlines() if line.strip() and not line.startswith("#")]

    assert len(lines) <= 10


@pytest.mark.slow
def test_those_lines_make_a_project_tell_of_its_changes(tmp_path):
    settings, webhooks, register = blocks("Add it to your TMS", "python")
    host = tmp_path / "host"
    (host / "plugged").mkdir(parents=True)
    (host / "plugged" / "__init__.py").write_text("urlpatterns = []\n")
    (host / "plugged" / "webhooks.py").write_text(webhooks.replace("from training.", "from example_project.training."))
    (host / "base.py").write_text(
        "from example_project.settings import *\n"
        "del TMS_WEBHOOKS, TMS_WEBHOOKS_ORGANIZATION_MODEL, Q_CLUSTER\n"
        "ROOT_URLCONF = 'plugged'\n"
        "INSTALLED_APPS = [app for app in INSTALLED_APPS if app not in ('django_q', 'tms_webhooks')] + ['plugged']\n"
        "DATABASES = {'default': database_from_url('sqlite:///host.sqlite3')}\n" + settings
    )
    (tmp_path / "run.py").write_text(HOST.replace("{register}", register))

    process = forks.run("run.py", cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})

    assert process.returncode == 0, process.stderr
    sources, events, secret = process.stdout.splitlines()[-3:]
    assert sources == "sources: ['TrainingClasses']"
    assert events == "events: ['class.cancelled']"
    assert secret.startswith("secret: whsec_")


def test_the_python_receiver_takes_a_real_request_and_refuses_a_changed_body(request_and_secret, monkeypatch):
    request, secret = request_and_secret
    (code,) = blocks("Verify a webhook", "python")
    names = {}
    exec(code, names)
    monkeypatch.setenv("WEBHOOK_SECRET", secret)

    event = names["receive"](request.headers, request.body)

    assert event["type"] == "class.cancelled"
    assert event["id"] == request.headers["webhook-id"]
    with pytest.raises(WebhookVerificationError):
        names["receive"](request.headers, request.body.replace(b"Cancelled", b"Scheduled"))


def test_the_readme_has_a_picture_that_is_there():
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)

    assert (ROOT / picture).exists()
