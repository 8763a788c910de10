"""A developer gets a webhooks.py from the names in their models, and completes it as the checks say."""

import os
import re
import shutil
from pathlib import Path

import pytest

from tests import forks
from tests.acceptance.once import ONCE
from tests.acceptance.pages import BLOCK
from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, ONCE]

STRANGER = Path(__file__).parent / "stranger"
GOLDEN = ROOT / "tests" / "golden" / "scaffold"
WRITE = os.environ.get("TMS_WEBHOOKS_WRITE_GOLDEN") == "1"
MODELS = ("Person", "Session", "Booking", "Assignment", "Track", "Award", "Badge", "Coupon", "Review")
MEANINGS = {
    '"draft"': "Tentative",
    '"open"': "Scheduled",
    '"called_off"': "Cancelled",
    '"moved"': "Rescheduled",
    '"held"': "Completed",
    '"archived"': "Completed",
    '"awaiting"': "Request",
    '"waiting_list"': "Waitlist",
    '"booked"': "Enroll",
    '"rejected"': "Deny",
    "0": "Unknown",
    "1": "Complete",
    "3": "No Show",
}
"""The stranger's statuses whose names say nothing."""


def manage(folder, settings, *arguments):
    path = [str(folder), str(ROOT)]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": settings, "PYTHONPATH": os.pathsep.join(path)}
    environment.pop("TMS_DATABASE", None)
    return forks.run("-m", "django", *arguments, cwd=folder, env=environment)


def scaffold(folder, settings, *arguments):
    done = manage(folder, settings, "webhooks_scaffold", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def labels(app, names):
    return [f"{app}.{name}" for name in names]


def ids(done):
    return re.findall(r"\(tms_webhooks\.([EWI]\d{3})\)", done.stderr)


@pytest.fixture
def project(tmp_path):
    shutil.copytree(STRANGER, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def plug_in(tmp_path):
    """The project of the how-to page, before its settings name anything of an organization."""
    shutil.copytree(STRANGER, tmp_path, dirs_exist_ok=True)
    page = (ROOT / "docs" / "howto" / "plug-in.md").read_text()
    (code,) = [code for _language, code in BLOCK.findall(page) if code.startswith("# academy/models.py")]
    (tmp_path / "academy" / "models.py").write_text(code)
    return tmp_path


def compare(name, text):
    file = GOLDEN / f"{name}.txt"
    if WRITE:
        file.write_text(text)
    assert text == file.read_text(), "Run python -m tests.goldens, and read the difference."


def assert_formatted(text):
    done = forks.run("-m", "ruff", "format", "--isolated", "--diff", "-", given=text)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


@pytest.mark.parametrize(
    "name, host, settings, arguments",
    [
        ("stranger", "project", "settings", labels("academy", MODELS)),
        ("shapes", "project", "lms_settings", ["lms", "auth.User", "lms.Event:class", "lms.Certificate:achievement"]),
        ("plug_in", "plug_in", "settings", ["academy"]),
        ("hosts", "tmp_path", "tests.hosts.settings", ["hosts.Member", "hosts.Meetup:class", "hosts.Place:enrollment"]),
        ("example", "tmp_path", "example_project.settings", ["training"]),
    ],
)
def test_the_file_for_a_host_is_the_expected_one_and_formatted(request, name, host, settings, arguments):
    text = scaffold(request.getfixturevalue(host), settings, *arguments)

    compare(name, text)
    assert_formatted(text)


@pytest.mark.parametrize(
    "settings, arguments, app, expected",
    [
        ("settings", labels("academy", MODELS), "academy", ["E042", "E042", "W039", "W039", "W047", "W049", "W091"]),
        (
            "lms_settings",
            ["lms", "auth.User", "lms.Event:class", "lms.Certificate:achievement"],
            "lms",
            ["E034", "E034", *["E035"] * 4, "E088", "W039", "W047", "W047", "W049", "W091", "W092", "W092"],
        ),
    ],
)
def test_the_check_reports_what_is_left_to_fill_in(project, settings, arguments, app, expected):
    scaffold(project, settings, *arguments, "--output", f"{app}/webhooks.py")

    assert sorted(ids(manage(project, settings, "check"))) == expected


def test_the_statuses_and_the_setting_that_the_check_names_make_a_strangers_file_correct(project):
    scaffold(project, "settings", *labels("academy", MODELS), "--output", "academy/webhooks.py")
    file, settings = project / "academy" / "webhooks.py", project / "settings.py"
    text = file.read_text()
    assert text.count(": ?") == len(MEANINGS)
    for value, meaning in MEANINGS.items():
        assert text.count(f"# {value}: ?") == 1
        text = text.replace(f"# {value}: ?", f'{value}: "{meaning}",')
    file.write_text(text)
    paths = '{"external_id": "crm_number", "name": "title"}'
    assert f'TMS_WEBHOOKS["ORGANIZATION_FIELDS"] = {paths}.' in manage(project, "settings", "check").stderr
    settings.write_text(f'{settings.read_text()}\nTMS_WEBHOOKS["ORGANIZATION_FIELDS"] = {paths}\n')

    done = manage(project, "settings", "check")

    # Warnings of dates without a time zone, of a missing status of assignments, and of a missing index.
    assert (done.returncode, sorted(ids(done))) == (0, ["W039", "W039", "W047", "W049"])
