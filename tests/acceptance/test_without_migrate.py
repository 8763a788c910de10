"""An operator forgets ``migrate``, or the database is down: each command says it in one line."""

import os
from urllib.parse import quote

from tests import forks
from tests.acceptance.once import ONCE
from tests.conftest import ROOT

pytestmark = ONCE

COMMANDS = (
    ["webhooks_drain", "--until-idle"],
    ["webhooks_tail"],
    ["webhooks_replay", "missed", "--webhook", "1"],
    ["webhooks_test", "1"],
    ["webhooks_test", "1", "--listen"],
    ["webhooks_snapshot", "--webhook", "1", "--noun", "class"],
    ["webhooks_drain", "--once", "prune"],
    ["webhooks_erase", "7"],
    ["webhooks_export"],
    ["webhooks_import", "--diff", "-"],
    ["webhooks_reencrypt"],
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


def printed(database):
    """Run the commands with this database; return the lines that they print."""
    environment = {**os.environ, "TMS_DATABASE": database, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = forks.run(
        "-c",
        SCRIPT,
        cwd=ROOT,
        env=environment,
        given="version: 1\nwebhooks: [{organization: 1, name: A, url: https://a.example.com}]",
    )
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines()


def test_each_command_asks_for_migrate_where_it_was_not_run(tmp_path):
    text = "The database 'default' lacks migrations of tms_webhooks. Run: manage.py migrate --database default"
    assert printed(f"sqlite:///{quote(str(tmp_path / 'empty.sqlite3'))}") == [
        *[f"2 {text}"] * len(COMMANDS),
        f"STOPPED: {text}",
        "2",
    ]


def test_each_command_says_in_one_line_that_the_database_does_not_answer():
    *lines, _health, _status = printed("postgres://tms:password-of-the-database@127.0.0.1:1/tms")

    assert len(lines) == len(COMMANDS)
    for line in lines:
        assert line.startswith("2 The database does not answer: ")
        assert "password-of-the-database" not in line
