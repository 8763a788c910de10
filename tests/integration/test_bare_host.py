"""A host that serves no API and runs no django-q2 imports and migrates neither, and works where both are absent."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.once import ONCE
from tests.conftest import ROOT
from tests.patience import PATIENCE

pytestmark = ONCE

OPTIONAL = ["django_q", "drf_spectacular", "pycurl", "rest_framework", "yaml"]

SETTINGS = """
SECRET_KEY = "only for tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "urls"
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.messages",
    "django.contrib.sessions", "tms_webhooks", "academy",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware", "tms_webhooks.actors.ActorMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {"context_processors": [
        "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]},
}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
TMS_WEBHOOKS_ORGANIZATION_MODEL = "academy.Customer"
TMS_WEBHOOKS = {"TRANSPORT": "threads"}
TMS_WEBHOOKS["ORGANIZATION_FIELDS"] = {"external_id": None}
"""
MODELS = """
from django.db import models

class Customer(models.Model):
    name = models.CharField(max_length=100)

class Topic(models.Model):
    name = models.CharField(max_length=100)

class Session(models.Model):
    name = models.CharField(max_length=100)
    status = models.IntegerField(default=0)
    course = models.ForeignKey(Topic, models.CASCADE)
    customer = models.ForeignKey(Customer, models.CASCADE)
"""
SOURCES = """
from academy.models import Session
from tms_webhooks import sources

@sources.register(Session)
class Sessions(sources.ClassSource):
    owner = "customer"
    fields = {"start_at": None, "end_at": None}
"""
URLS = """
from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
"""
ABSENT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in OPTIONAL:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""
HOST = """
import json, sys
import django
from django.core.management import call_command

django.setup()
call_command("makemigrations", "academy", verbosity=0)
call_command("check", fail_level="WARNING", verbosity=0)
call_command("migrate", verbosity=0)
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import override_settings
from academy.models import Customer, Session, Topic
from tms_webhooks.testing import WebhookReceiver

with WebhookReceiver() as receiver:
    customer = Customer.objects.create(name="Acme")
    webhook = receiver.subscribe(customer, "class.*")
    Session.objects.create(name="Azure", customer=customer, course=Topic.objects.create(name="Azure"))
    call_command("webhooks_drain", "--until-idle", verbosity=0)
    heard = [event["type"] for event in receiver.events]
client = Client(headers={"host": "localhost"})
client.force_login(User.objects.create_superuser("admin"))
with override_settings(ALLOWED_HOSTS=["localhost"]):
    page = client.get(f"/admin/tms_webhooks/webhook/{webhook.public_id}/change/")
print(json.dumps({
    "events": heard,
    "page": page.status_code,
    "imported": sorted({name.partition(".")[0] for name in sys.modules}.intersection(OPTIONAL)),
    "apps": sorted({table.partition("_")[0] for table in connection.introspection.table_names()}),
}))
"""
FOOTPRINT = """
import gc, json, sys, time
from pathlib import Path
import django
from django.conf import settings

settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if name not in LEFT_OUT]
began_at = time.process_time()
django.setup()
seconds = time.process_time() - began_at
# What every web process imports.
import django.contrib.auth.backends, django.core.handlers.wsgi
gc.collect()
pages = int(Path("/proc/self/statm").read_text().split()[1])
print(json.dumps({"seconds": seconds, "bytes": pages * 4096, "modules": list(sys.modules)}))
"""
ADMIN = ["django.contrib.admin", "django.contrib.messages", "django.contrib.sessions"]
UNUSED_ROOMS = {
    "api", "checks", "config_files", "documents", "expiry", "listener", "management", "monitoring", "reconcile", "routing",
    "scaffold", "snapshot", "tasks", "testing", "worker",
}  # fmt: skip
"""Rooms of the app that a web process never needs, or that wait for the first request of a page."""
LATE_PACKAGES = {"celery", "cryptography", "jsonschema", "requests", "urllib3", *OPTIONAL}
"""Packages that the first request, secret or enqueued task imports."""


@pytest.fixture
def host(tmp_path):
    (tmp_path / "settings.py").write_text(SETTINGS)
    (tmp_path / "urls.py").write_text(URLS)
    (tmp_path / "academy").mkdir()
    for name, text in {"__init__": "", "models": MODELS, "webhooks": SOURCES}.items():
        (tmp_path / "academy" / f"{name}.py").write_text(text)
    return tmp_path


def run(host, script, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", f"OPTIONAL = {OPTIONAL}\n{script}"],
        cwd=host,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": f"{ROOT}:{host}", **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def result_of(host, script):
    done = run(host, script)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "script", [pytest.param(HOST, id="installed", marks=pytest.mark.slow), pytest.param(ABSENT + HOST, id="absent")]
)
def test_a_host_without_api_and_queue_imports_and_migrates_none_of_them(host, script):
    assert result_of(host, script) == {
        "events": ["class.scheduled"],
        "page": 200,
        "imported": [],
        "apps": ["academy", "auth", "django", "tms"],
    }


def footprint_of(host, *left_out):
    return result_of(host, f"LEFT_OUT = {left_out}\n{FOOTPRINT}")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory of a process is read from /proc")
@pytest.mark.parametrize(
    "left_out, modules, megabytes, rooms",
    [(ADMIN, 133, 8.0, UNUSED_ROOMS | {"access", "admin", "manage"}), ([], 150, 10.0, UNUSED_ROOMS)],
    ids=["without_admin", "with_admin"],
)
def test_a_process_imports_what_it_uses(host, left_out, modules, megabytes, rooms):
    without = footprint_of(host, *left_out, "tms_webhooks")
    result = footprint_of(host, *left_out)
    imported = [name for name in result["modules"] if name.partition(".")[0] == "tms_webhooks"]

    assert not rooms.intersection(name.split(".")[1] for name in imported if "." in name)
    assert not LATE_PACKAGES.intersection(result["modules"])
    assert len(imported) <= modules
    assert (result["bytes"] - without["bytes"]) / 1e6 <= megabytes
    # A fifth of a second on a quiet machine.
    assert result["seconds"] - without["seconds"] < 2.0


def test_a_queue_whose_package_is_absent_is_refused_with_the_remedy(host):
    settings = host / "settings.py"
    settings.write_text(settings.read_text() + 'TMS_WEBHOOKS["QUEUE"] = "tms_webhooks.queues.django_q.DjangoQQueue"\n')

    done = run(host, f"{ABSENT}\nimport django; from django.core.management import call_command as call\n"
                     "django.setup(); call('check')")  # fmt: skip

    assert done.returncode == 1
    assert (
        "(tms_webhooks.E008) TMS_WEBHOOKS['QUEUE'] is 'tms_webhooks.queues.django_q.DjangoQQueue', which can't be imported "
        "(No module named 'django_q'); name a subclass of tms_webhooks.queues.Queue."
    ) in done.stderr
