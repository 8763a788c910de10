"""`.ci/release` tags what it has checked, and says why it refuses; the workflow of the hosting runs the stages of `.ci/run`."""

import re
import shutil
import subprocess
import tomllib

import pytest
import yaml

from tests.conftest import ROOT

VERSION = "9.8.7"
READY = {
    "tms_webhooks/__init__.py": f'__version__ = "{VERSION}"\n',
    "CHANGELOG.md": f"# Changelog\n\n## [{VERSION}] - 2030-01-02\n\n## [9.8.6] - 2029-01-02\n",
    "README.md": "# tms_webhooks\n",
    "docs/upgrade.md": "# Upgrade\n",
    ".gitignore": "dist/\n",
    # Stands in for the build and the checks.
    ".ci/run": '#!/bin/sh\nmkdir -p "$TMS_CI_FOLDER/dist"\n'
    f'echo "$TMS_REPOSITORY_URL $*" > "$TMS_CI_FOLDER/dist/tms_webhooks-{VERSION}.tar.gz"\n',
}
ORIGIN = "git@git.example.com:training/tms.git"


@pytest.fixture
def checkout(tmp_path):
    """A clean checkout that is ready for the release."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in READY.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    git(tmp_path, "remote", "add", "origin", ORIGIN)
    commit(tmp_path)
    return tmp_path


def git(folder, *arguments):
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.com", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def commit(folder):
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "A state of the files")


def release(folder, *arguments):
    git(folder, "config", "user.name", "A")
    git(folder, "config", "user.email", "a@example.com")
    return subprocess.run([folder / ".ci" / "release", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "stages, run", [([], ""), (["lint"], "package lint"), (["lint", "package"], "lint package")], ids=str
)
def test_the_head_of_main_is_built_checked_and_tagged(checkout, stages, run):
    done = release(checkout, VERSION, *stages)

    assert done.returncode == 0, done.stderr
    assert git(checkout, "rev-parse", f"v{VERSION}^{{commit}}") == git(checkout, "rev-parse", "HEAD")
    (built,) = (checkout / "dist").iterdir()
    assert built.read_text() == f"https://git.example.com/training/tms {run}\n"
    assert f"git push origin main v{VERSION}" in done.stdout


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"tms_webhooks/__init__.py": '__version__ = "9.8.6"\n'}, f"set __version__ to {VERSION}"),
        ({"CHANGELOG.md": f"# Changelog\n\n## [{VERSION}] - unreleased\n"}, f"write '## [{VERSION}] - "),
        ({"README.md": "It is not released yet.\n"}, "remove what is no longer true: README.md:1:"),
        ({".ci/run": "#!/bin/sh\nexit 1\n"}, ""),
    ],
)
def test_files_that_are_not_ready_are_not_tagged(checkout, change, reason):
    for name, text in change.items():
        (checkout / name).write_text(text)
    commit(checkout)

    done = release(checkout, VERSION)

    assert done.returncode == 1
    assert reason in done.stderr
    assert git(checkout, "tag") == ""


@pytest.mark.parametrize(
    "command, reason",
    [
        (["switch", "--quiet", "--create", "other"], "check out main"),
        (["rm", "--quiet", "README.md"], "commit or remove"),
        (["tag", f"v{VERSION}"], f"the tag v{VERSION} exists"),
        (["remote", "remove", "origin"], "set TMS_REPOSITORY_URL"),
    ],
)
def test_a_checkout_that_is_not_ready_is_not_released(checkout, command, reason):
    git(checkout, *command)

    done = release(checkout, VERSION)

    assert done.returncode == 1
    assert f"Not released: {reason}" in done.stderr
    assert not (checkout / "dist").exists()


def test_the_sdist_in_which_the_stages_run_has_the_pages_and_settings_of_the_root():
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]

    needed = {f"/{path.name}" for pattern in ("*.md", ".*.yaml") for path in ROOT.glob(pattern)}
    assert {"/README.md"} <= needed <= set(targets["sdist"]["include"])


def test_the_workflow_runs_each_stage_and_no_other():
    (default,) = re.findall(r"stages=\((lint .+)\)", (ROOT / ".ci" / "run").read_text())
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    matrix = jobs["all"]["strategy"]["matrix"]
    first = jobs["first"]["steps"][-1]["run"].removeprefix(".ci/run ")
    lists = [first, *matrix["stages"], *(one["stages"] for one in matrix["include"])]

    # Its matrix has every Python and Django, so that the stage of "the other Django" adds nothing.
    assert set(" ".join(lists).split()) == {*default.split(), "unit", "year"} - {"django"}


def test_the_matrix_has_each_python_and_django_that_the_package_names():
    classifiers = re.findall(
        r'"(Programming Language :: Python|Framework :: Django) :: (\d\.\d+)"', (ROOT / "pyproject.toml").read_text()
    )
    matrix = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]["all"]["strategy"][
        "matrix"
    ]

    named = [(kind, version) for kind in ("python", "django") for version in matrix[kind]]
    assert sorted(named) == sorted((kind.split(" ")[-1].lower(), version) for kind, version in classifiers)
