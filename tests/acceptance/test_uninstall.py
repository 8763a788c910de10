"""A project that has the app takes it out again by the page alone: it works, and nothing of the app is left."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.once import ONCE
from tests.acceptance.pages import BLOCK, Follower

pytestmark = ONCE

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
PLUG_IN, UNINSTALL = HOWTO / "plug-in.md", HOWTO / "uninstall.md"
DIFF = re.compile(r"^```diff\n# (.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Of the other page: the scripts that try the app, and the settings that this page removes without a difference.
SCRIPTS = ("customers.py", "change.py", "guessed.py")
OTHER_SETTINGS = re.compile(r"^TMS_WEBHOOKS \|?= \{.*?^\}$", re.MULTILINE | re.DOTALL)
# The project delivers with django-q2.
QUEUE = """
INSTALLED_APPS += ["django_q"]
Q_CLUSTER = {"name": "tms", "orm": "default", "timeout": 90, "retry": 120, "max_attempts": 1}
TMS_WEBHOOKS |= {
    "QUEUE": "tms_webhooks.queues.django_q.DjangoQQueue",
}
"""
# The host's own work: rows that are saved, updated and deleted, and an organization that comes and goes.
WORK = """
import django

django.setup()

from academy.models import Booking, Organization

booking = Booking.objects.get()
for state in ("OUT", "IN"):
    booking.state = state
    booking.save()
Booking.objects.update(state="WAITING")
booking.delete()
booking.save(force_insert=True)
Organization.objects.create(label="Initech").delete()
"""


@pytest.fixture
def installed(tmp_path):
    """The project of the other page, with delivered events."""
    follower = Follower(tmp_path)
    follower.follow(PLUG_IN)
    follower.heard()
    for name in SCRIPTS:
        (tmp_path / name).unlink()
    settings = tmp_path / "mysite" / "settings.py"
    settings.write_text(settings.read_text() + QUEUE)
    follower.run(".venv/bin/python manage.py migrate")
    yield follower
    follower.close()


def remove_lines(folder: Path) -> None:
    """Change the files as the page's differences say."""
    for name, lines in DIFF.findall(UNINSTALL.read_text()):
        file = folder / name
        text = file.read_text()
        for line in lines.splitlines():
            assert line.startswith("+") or line[1:] in text, line
        old = [line[1:] for line in lines.splitlines() if line.startswith("-")]
        new = [line[1:] for line in lines.splitlines() if line.startswith("+")]
        kept = [line for line in OTHER_SETTINGS.sub("", text).splitlines() if line not in old]
        file.write_text("\n".join([*kept, *new]) + "\n")


def rows(database: Path, statement: str) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return sorted(str(row[0]) for row in connection.execute(statement))


def test_the_page_removes_each_unit_of_the_production_page():
    units = set(
        re.findall(
            r"^# /etc/systemd/system/(\S+\.(?:service|timer))", (HOWTO / "production.md").read_text(), re.MULTILINE
        )
    )
    stops = re.search(r"^systemctl disable --now (.+)$", UNINSTALL.read_text(), re.MULTILINE)[1].split()
    (removed,) = re.findall(r"^rm (/etc/systemd/.+)$", UNINSTALL.read_text(), re.MULTILINE)

    # The timer starts the service of its name. The cluster may run other tasks of the project.
    assert {*stops, "tms-qcluster-watchdog.service"} == {unit.rstrip(":") for unit in units} - {"tms-qcluster.service"}
    assert removed.split() == [
        "/etc/systemd/system/tms-qcluster-watchdog.*",
        "/etc/systemd/system/tms-webhooks.service",
    ]


def work(project: Follower) -> None:
    (project.folder / "work.py").write_text(WORK)
    project.run("DJANGO_SETTINGS_MODULE=mysite.settings .venv/bin/python work.py")


def test_the_project_works_and_no_table_schedule_column_or_permission_is_left(installed):
    database, folder = installed.folder / "db.sqlite3", installed.folder
    columns = (
        "SELECT m.name || '.' || c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.name LIKE 'academy%'"
    )
    before = rows(database, columns)
    assert len(rows(database, "SELECT name FROM sqlite_master WHERE name LIKE 'tms_webhooks%'")) > 10
    assert rows(database, "SELECT name FROM django_q_schedule WHERE func LIKE 'tms_webhooks%'") != []

    remove_lines(folder)
    for language, code in BLOCK.findall(UNINSTALL.read_text(encoding="utf-8")):
        if language == "python":
            installed.write(code)
        else:
            for line in code.splitlines():
                installed.run(line)
                if "check" in line:
                    events = rows(database, "SELECT id FROM tms_webhooks_event")
                    work(installed)
                    assert rows(database, "SELECT id FROM tms_webhooks_event") == events

    assert rows(database, "SELECT name FROM sqlite_master WHERE sql LIKE '%tms_webhooks%'") == []
    assert rows(database, "SELECT app FROM django_migrations WHERE app = 'tms_webhooks'") == []
    assert rows(database, "SELECT model FROM django_content_type WHERE app_label = 'tms_webhooks'") == []
    assert rows(database, "SELECT codename FROM auth_permission WHERE codename LIKE '%_drainslot'") == []
    assert rows(database, "SELECT name FROM django_q_schedule") == []
    assert rows(database, "SELECT id FROM django_q_ormq") == []
    assert rows(database, columns) == before
    work(installed)
    installed.run(".venv/bin/python manage.py migrate")
    installed.run(".venv/bin/python manage.py makemigrations --check")
    assert rows(database, "SELECT name FROM django_q_schedule") == []
    assert list(folder.rglob("*webhooks*.py")) == []
