"""A stranger plugs the app into a training system of another shape by the page alone, and sees verified requests.

The host is the page's own: organizations that share courses, statuses in words, bookings of which some are enrollments.
"""

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.once import ONCE
from tests.acceptance.pages import BLOCK, Follower

pytestmark = [pytest.mark.slow, ONCE]

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "plug-in.md"
MOST_LINES = 60
MOST_SETTINGS = 7


@pytest.fixture(scope="module")
def plugged_in(tmp_path_factory):
    follower = Follower(tmp_path_factory.mktemp("plug_in"))
    follower.promised = follower.follow(PAGE)
    follower.printed.append(follower.heard())
    yield follower
    follower.close()


def blocks(file):
    """Return the page's blocks for a file, each as its lines without the name of the file."""
    first = f"# {file}"
    found = [code.splitlines() for _language, code in BLOCK.findall(PAGE.read_text())]
    return [lines[1:] for lines in found if lines[0] == first]


def test_every_step_works_and_each_customer_gets_what_is_theirs_verified(plugged_in):
    (promised,) = plugged_in.promised
    heard = plugged_in.printed[-1].splitlines()

    assert sorted(heard) == sorted(promised.splitlines())
    assert len(heard) == 5
    assert "class BookingSource(sources.EnrollmentSource):" in (plugged_in.folder / "guessed.py").read_text()


def test_nine_models_need_at_most_sixty_lines_and_none_of_their_own():
    (models,), (sources,) = blocks("academy/models.py"), blocks("academy/webhooks.py")

    registered = {line.partition("(")[2].rstrip(")") for line in sources if line.startswith("@sources.register")}
    assert {"Person", "Session", "Booking", "Assignment", "Award", "Coupon", "Review"} <= registered
    assert 'path_model, path_courses, path_enabled = "academy.Track", "topics", None' in "\n".join(sources)
    assert len(sources) <= MOST_LINES
    assert "webhook" not in "\n".join(models)


def test_the_app_needs_at_most_seven_settings_lines():
    (of_app,) = [lines for lines in blocks("mysite/settings.py") if 'INSTALLED_APPS += ["tms_webhooks"]' in lines]

    assert len(of_app) <= MOST_SETTINGS


# The project takes the app out again by the other page alone: it works, and nothing of the app is left

UNINSTALL = PAGE.parent / "uninstall.md"
DIFF = re.compile(r"^```diff\n# (.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Of the page of the app: the scripts that try the app, and the settings that the other page removes without a difference.
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
def installed(plugged_in, tmp_path):
    """The project with delivered events, in a folder of its own, which delivers with django-q2."""
    folder = tmp_path / "project"
    shutil.copytree(plugged_in.folder, folder)
    for name in SCRIPTS:
        (folder / name).unlink()
    settings = folder / "mysite" / "settings.py"
    settings.write_text(settings.read_text() + QUEUE)
    project = Follower(folder)
    project.run(".venv/bin/python manage.py migrate")
    return project


def remove_lines(folder):
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


def rows(database, statement):
    with closing(sqlite3.connect(database)) as connection:
        return sorted(str(row[0]) for row in connection.execute(statement))


def test_the_page_removes_each_unit_of_the_production_page():
    units = set(
        re.findall(
            r"^# /etc/systemd/system/(\S+\.(?:service|timer))",
            (PAGE.parent / "production.md").read_text(),
            re.MULTILINE,
        )
    )
    stops = re.search(r"^systemctl disable --now (.+)$", UNINSTALL.read_text(), re.MULTILINE)[1].split()
    (removed,) = re.findall(r"^rm (/etc/systemd/.+)$", UNINSTALL.read_text(), re.MULTILINE)

    # The timer starts the service of its name. The web server stays, and the cluster may run other tasks of the project.
    stay = {"tms-web.service", "tms-qcluster.service"}
    assert {*stops, "tms-qcluster-watchdog.service"} == {unit.rstrip(":") for unit in units} - stay
    assert removed.split() == [
        "/etc/systemd/system/tms-qcluster-watchdog.*",
        "/etc/systemd/system/tms-webhooks.service",
    ]


def work(project):
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
