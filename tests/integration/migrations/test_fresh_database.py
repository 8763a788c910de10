"""A host can run ``migrate`` in any order on empty databases. Each test runs it in a process with its own settings."""

import json
import os
import re
import subprocess
import sys

import pytest
from django.db import connection

from tests.conftest import ROOT
from tests.patience import PATIENCE

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "howto" / "databases.md"
JOBS = ["tms_webhooks"]

SETTINGS = """
import json, os
from example_project.settings import *
DATABASES = json.loads(os.environ["DATABASES"])
DATABASE_ROUTERS = json.loads(os.environ["ROUTERS"])
"""
HOST = """
import json, sys
import django
from django.core.management import call_command

django.setup()
from django.db import connections
from django_q.models import Schedule

found = []
for arguments in json.loads(sys.argv[1]):
    call_command("migrate", *arguments, verbosity=0)
    found.append({
        alias: sorted(Schedule.objects.using(alias).values_list("name", flat=True))
        for alias in connections
        if Schedule._meta.db_table in connections[alias].introspection.table_names()
    })
print(json.dumps(found))
"""


@pytest.fixture
def databases(tmp_path):
    """Make an empty database for each alias, as ``DATABASES`` has it."""
    made = []

    def databases(*aliases):
        return {alias: {**settings, "NAME": make(alias)} for alias in aliases}

    def make(alias):
        if connection.vendor == "sqlite":
            return str(tmp_path / f"{alias}.sqlite3")
        name = connection.ops.quote_name(f"{connection.settings_dict['NAME']}_{alias}")
        made.append(name)
        execute(f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
        return name.strip('"`')

    def execute(*statements):
        with connection._nodb_cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    names = ("ENGINE", "USER", "PASSWORD", "HOST", "PORT", "OPTIONS")
    settings = {name: connection.settings_dict[name] for name in names}
    yield databases
    if made:
        execute(*(f"DROP DATABASE {name}" for name in made))


@pytest.fixture
def migrate(tmp_path):
    """Run ``migrate`` once with each list of arguments; return the schedules that each database has after each."""

    def migrate(databases, *calls, routers=()):
        (tmp_path / "host.py").write_text(SETTINGS)
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "host",
            "PYTHONPATH": f"{ROOT}:{tmp_path}",
            "DATABASES": json.dumps(databases),
            "ROUTERS": json.dumps(routers),
        }
        command = [sys.executable, "-c", HOST, json.dumps(calls)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return list(json.loads(done.stdout))

    return migrate


def test_this_app_can_be_migrated_before_its_queue(databases, migrate):
    found = migrate(databases("default"), ["tms_webhooks"], ["django_q", "0010"], [])

    # The columns of the newest version come with the last call.
    assert found == [{}, {"default": []}, {"default": JOBS}]


def test_with_the_router_of_the_documentation_every_database_can_be_migrated(databases, migrate, tmp_path):
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "routers.py").write_text(code)
    three = databases("default", "training", "archive")

    found = migrate(
        three, ["--database", "archive"], ["--database", "training"], [], ["--database", "archive"],
        routers=("routers.Router",),
    )  # fmt: skip

    assert found == [{}, {}, {"default": JOBS}, {"default": JOBS}]


def test_schedules_are_written_only_where_the_queue_reads_them(databases, migrate):
    found = migrate(databases("default", "archive"), ["--database", "archive"], [])

    assert found == [{"archive": []}, {"archive": [], "default": JOBS}]
