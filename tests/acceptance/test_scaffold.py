"""A developer gets a webhooks.py from their models, and corrects only what its comments name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.once import ONCE
from tests.acceptance.pages import BLOCK
from tests.patience import PATIENCE

pytestmark = ONCE

ROOT = Path(__file__).parents[2]
STRANGER = Path(__file__).parent / "stranger"
GOLDEN = ROOT / "tests" / "golden" / "scaffold"
WRITE = os.environ.get("TMS_WEBHOOKS_WRITE_GOLDEN") == "1"
MODELS = ("Person", "Session", "Booking", "Assignment", "Track", "Award", "Badge", "Coupon", "Review")
OF_EXAMPLE = (
    "User", "TrainingClass", "ClassEnrollment", "CourseAssignment", "ActivityResult", "SubscriptionAssignment",
    "CourseFeedback", "LearningPath", "UserAchievement", "Voucher",
)  # fmt: skip


def manage(folder: Path, settings: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = [str(folder), str(ROOT)]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": settings, "PYTHONPATH": os.pathsep.join(path)}
    environment.pop("TMS_DATABASE", None)
    return subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def scaffold(folder: Path, settings: str, *arguments: str) -> str:
    done = manage(folder, settings, "webhooks_scaffold", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def labels(app: str, names: tuple[str, ...]) -> list[str]:
    return [f"{app}.{name}" for name in names]


def ids(done: subprocess.CompletedProcess[str]) -> list[str]:
    return re.findall(r"\(tms_webhooks\.([EWI]\d{3})\)", done.stderr)


def follow_settings(project: Path, text: str) -> None:
    """Add the setting that the first comment of the file asks for."""
    entries = re.search(r"^# TMS_WEBHOOKS\[.*?^# \}$", text, re.MULTILINE | re.DOTALL)
    assert entries is not None
    settings = project / "settings.py"
    settings.write_text(settings.read_text() + entries[0].replace("# ", ""))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(STRANGER, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def plug_in(tmp_path: Path) -> Path:
    """The project of the how-to page, before its settings name anything of an organization."""
    shutil.copytree(STRANGER, tmp_path, dirs_exist_ok=True)
    page = (ROOT / "docs" / "howto" / "plug-in.md").read_text()
    (code,) = [code for _language, code in BLOCK.findall(page) if code.startswith("# academy/models.py")]
    (tmp_path / "academy" / "models.py").write_text(code)
    return tmp_path


def compare(name: str, text: str) -> None:
    file = GOLDEN / f"{name}.txt"
    if WRITE:
        file.write_text(text)
    assert text == file.read_text(), "Run this test with TMS_WEBHOOKS_WRITE_GOLDEN=1, and read the difference."


def assert_formatted(text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--isolated", "--diff", "-"],
        input=text,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_the_file_for_a_strangers_models_is_the_expected_one_and_formatted(project):
    text = scaffold(project, "settings", *labels("academy", MODELS))

    compare("stranger", text)
    assert_formatted(text)


@pytest.mark.parametrize(
    ("settings", "arguments", "app", "expected"),
    [
        ("settings", labels("academy", MODELS), "academy", ["E042", "E042", "W047", "W049"]),
        # The organizations of the second stranger have no external id at all.
        ("lms_settings", ["lms", "auth.User"], "lms", ["E034", "W039", "W047", "W047", "W049", "W091", "W092", "W092"]),
    ],
)
def test_the_check_reports_only_what_the_comments_name(project, settings, arguments, app, expected):
    scaffold(project, settings, *arguments, "--output", f"{app}/webhooks.py")
    text = (project / app / "webhooks.py").read_text()
    follow_settings(project, text)

    done = manage(project, settings, "check")

    named = re.findall(r"check tms_webhooks\.([EWI]\d{3})", text)
    assert sorted(ids(done)) == expected
    assert set(named) == {*expected} - {"W091"}


def test_two_lines_make_a_strangers_file_correct(project):
    scaffold(project, "settings", *labels("academy", MODELS), "--output", "academy/webhooks.py")
    file = project / "academy" / "webhooks.py"
    text = file.read_text()
    correct = {'# "archived": ?': '"archived": "Completed",', '# "awaiting": ?': '"awaiting": "Request",'}
    for guess, answer in correct.items():
        assert text.count(guess) == 1
        text = text.replace(guess, answer)
    file.write_text(text)
    follow_settings(project, text)

    done = manage(project, "settings", "check")

    # Warnings of missing fields and indexes: a status of assignments, and an index.
    assert (done.returncode, sorted(ids(done))) == (0, ["W047", "W049"])


def test_the_file_for_an_app_with_other_shapes_is_the_expected_one_and_formatted(project):
    text = scaffold(project, "lms_settings", "lms", "auth.User")

    compare("shapes", text)
    assert_formatted(text)


def test_the_file_for_the_models_of_the_how_to_page_is_the_expected_one_and_formatted(plug_in):
    text = scaffold(plug_in, "settings", "academy")

    compare("plug_in", text)
    assert_formatted(text)


def test_the_file_for_a_host_with_other_names_is_the_expected_one_and_formatted(tmp_path):
    text = scaffold(tmp_path, "tests.hosts.settings", *labels("hosts", ("Member", "Meetup", "Place", "Topic")))

    compare("hosts", text)
    assert_formatted(text)


def test_the_file_for_the_example_project_is_the_expected_one_and_formatted(tmp_path):
    text = scaffold(tmp_path, "example_project.settings", *labels("training", OF_EXAMPLE))

    compare("example", text)
    assert_formatted(text)
