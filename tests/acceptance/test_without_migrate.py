"""An operator forgets ``migrate``: each command asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from tests.acceptance.once import ONCE

pytestmark = ONCE

ROOT = Path(__file__).parents[2]
COMMANDS = (
    ["webhooks_drain", "--until-idle"],
    ["webhooks_status"],
    ["webhooks_tail"],
    ["webhooks_replay", "missed", "--webhook", "1"],
    ["webhooks_test", "1"],
    ["webhooks_listen", "--webhook", "1"],
    ["webhooks_snapshot", "--webhook", "1", "--noun", "class"],
    ["webhooks_prune"],
)
# One process for all of them.
SCRIPT = f"""
import django
from django.core.management import CommandError, call_command
django.setup()
for command in {COMMANDS!r}:
    try:
        call_command(*command)
    except CommandError as error:
        print(error.returncode, error)
try:
    call_command("webhooks_health")
except SystemExit as ending:
    print(ending.code)
"""


def test_each_command_asks_for_migrate_where_it_was_not_run(tmp_path: Path):
    environment = {**os.environ, "TMS_DATABASE": f"sqlite:///{quote(str(tmp_path / 'empty.sqlite3'))}"}
    environment["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)

    text = "The database 'default' lacks migrations of tms_webhooks. Run: manage.py migrate --database default"
    assert done.stdout.splitlines() == [*[f"2 {text}"] * len(COMMANDS), f"STOPPED: {text}", "2"], done.stderr
