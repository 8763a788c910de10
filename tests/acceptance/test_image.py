"""The image of the example project: what can be known of it without building it, which needs the network."""

import os
import re
import subprocess
import sys

import pytest
from cryptography.fernet import Fernet

from tests.acceptance.once import ONCE
from tests.conftest import ROOT
from tests.patience import PATIENCE

EXAMPLE = ROOT / "example_project"
LINES = re.sub(r"\\\n\s+", "", (EXAMPLE / "Dockerfile").read_text(encoding="utf-8")).splitlines()
IGNORED, *ADMITTED = [
    line.lstrip("!") for line in (EXAMPLE / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] in "*!"
]

pytestmark = [pytest.mark.slow, ONCE]


def of(instruction):
    return [line.partition(" ")[2] for line in LINES if line.startswith(f"{instruction} ")]


def test_its_last_user_is_not_root():
    assert of("USER") == ["10001"]
    assert LINES.index("USER 10001") < LINES.index(f"CMD {of('CMD')[0]}")


def test_it_gets_named_files_only():
    assert IGNORED == "*"
    assert [path for path in ADMITTED if path != "**/__pycache__" and not (ROOT / path).exists()] == []
    sources = {source for copied in of("COPY") if not copied.startswith("--") for source in copied.split()[:-1]}
    assert sources - {"."} <= set(ADMITTED)


def test_no_secret_is_part_of_it():
    assert [name for line in of("ENV") for name in re.findall(r"(\w+)=", line)] == [
        "PATH",
        "DJANGO_SETTINGS_MODULE",
        "PYTHONUNBUFFERED",
    ]
    assert of("ARG") == []


def test_its_head_lists_the_variables_that_it_needs():
    head = " ".join(LINES[: LINES.index("FROM python:3.13-slim AS build")])
    settings = (EXAMPLE / "production.py").read_text()

    assert set(re.findall(r"(TMS_\w+)=", head)) == set(re.findall(r'os\.environ\["(\w+)"\]', settings))


def test_its_settings_pass_the_check_of_a_deployment():
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "example_project.production",
        "TMS_SECRET_KEY": Fernet.generate_key().decode() * 2,
        "TMS_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "TMS_ALLOWED_HOSTS": "tms.example.com 127.0.0.1",
        "TMS_DATABASE": "postgres://tms@127.0.0.1/tms",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert done.returncode == 0, done.stderr
