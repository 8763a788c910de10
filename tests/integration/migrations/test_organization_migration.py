"""The organization model may be created by any migration of its app. Each test migrates a host of its own, in a process."""

import json
import os
import subprocess
import sys

import pytest
from django.db import connection

from tests.conftest import ROOT
from tests.patience import PATIENCE

SETTINGS = """
import json, os
SECRET_KEY = "only for tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# In the order of names this app comes before the host's.
INSTALLED_APPS = ["tms_webhooks", "training"]
DATABASES = {"default": json.loads(os.environ["DATABASE"])}
TMS_WEBHOOKS_ORGANIZATION_MODEL = "training.Organization"
TMS_WEBHOOKS = {"QUEUE": "tms_webhooks.queues.SilentQueue"}
"""
MODELS = """
from django.db import models

class Course(models.Model):
    pass

class Organization(models.Model):
    pass
"""
MIGRATION = """
from django.db import migrations, models

class Migration(migrations.Migration):
    {attributes}
    dependencies = {dependencies}
    operations = [{operations}]
"""
HOST = """
import django
from django.core.management import call_command

django.setup()
call_command("migrate", verbosity=0)
from tms_webhooks.models import Webhook
from training.models import Organization

webhook = Webhook.objects.create(organization=Organization.objects.create(), name="All", url="https://receiver.example/")
print(Webhook.objects.get(organization__pk=webhook.organization_id).name)
"""

KEY = "('id', models.BigAutoField(primary_key=True, serialize=False, auto_created=True))"
COURSE = f"migrations.CreateModel('Course', [{KEY}]),"
ORGANIZATION = f"migrations.CreateModel('Organization', [{KEY}]),"
TO_A_WEBHOOK = "('webhook', models.ForeignKey('tms_webhooks.Webhook', models.CASCADE)),"
FIRST, SECOND = ("training", "0001_initial"), ("training", "0002_more")
OURS = ("tms_webhooks", "0001_initial")


@pytest.fixture
def database(tmp_path):
    """The settings of an empty database."""
    names = ("ENGINE", "USER", "PASSWORD", "HOST", "PORT", "OPTIONS")
    settings = {name: connection.settings_dict[name] for name in names}
    if connection.vendor == "sqlite":
        yield {**settings, "NAME": str(tmp_path / "host.sqlite3")}
        return
    name = connection.ops.quote_name(f"{connection.settings_dict['NAME']}_organization")
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"CREATE DATABASE {name}")
    yield {**settings, "NAME": name.strip('"`')}
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name}")


@pytest.fixture
def migrate(tmp_path, database):
    """Migrate a host with these migrations, by name, and create a webhook in it."""

    def migrate(**migrations):
        folder = tmp_path / "training" / "migrations"
        folder.mkdir(parents=True)
        (tmp_path / "host.py").write_text(SETTINGS)
        (tmp_path / "training" / "models.py").write_text(MODELS)
        for package in (folder.parent, folder):
            (package / "__init__.py").touch()
        for name, text in migrations.items():
            (folder / f"{name.removeprefix('m')}.py").write_text(text)
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "host",
            "PYTHONPATH": f"{ROOT}:{tmp_path}",
            "DATABASE": json.dumps(database),
        }
        command = [sys.executable, "-W", "error", "-c", HOST]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)

    return migrate


def migration(operations, *dependencies, attributes=""):
    return MIGRATION.format(operations=operations, dependencies=list(dependencies), attributes=attributes)


def test_the_organization_model_may_be_created_by_a_later_migration(migrate):
    done = migrate(
        m0001_initial=migration(COURSE),
        m0002_more=migration("", FIRST),
        m0003_organization=migration(ORGANIZATION, SECOND),
        # Needs the tables of this app, and is applied after them.
        m0004_profile=migration(
            f"migrations.CreateModel('Profile', [{KEY}, {TO_A_WEBHOOK}]), migrations.DeleteModel('Profile')",
            ("training", "0003_organization"),
            OURS,
        ),
    )

    assert done.stdout == "All\n", done.stderr


def test_the_organization_model_may_have_got_its_name_later(migrate):
    done = migrate(
        m0001_initial=migration(COURSE + ORGANIZATION.replace("Organization", "Company")),
        m0002_more=migration(
            "migrations.SeparateDatabaseAndState(state_operations=[], database_operations=[]),"
            "migrations.SeparateDatabaseAndState(database_operations=["
            "    migrations.AlterModelTable('Company', 'training_organization')"
            "], state_operations=[migrations.RenameModel('Company', 'Organization')])",
            FIRST,
        ),
    )

    assert done.stdout == "All\n", done.stderr


def test_squashed_migrations_are_read_like_others(migrate):
    done = migrate(
        m0001_initial=migration(COURSE),
        m0002_more=migration(ORGANIZATION, FIRST),
        m0001_squashed_0002_more=migration(COURSE + ORGANIZATION, attributes=f"replaces = {[FIRST, SECOND]}"),
    )

    assert done.stdout == "All\n", done.stderr
