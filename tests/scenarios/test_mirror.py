"""docs/howto/mirror.md: after edits in every way and two kills of the worker the mirror is equal, and each damaged row is found.

``TMS_MIRROR_OBJECTS``, ``TMS_MIRROR_EDITS`` and ``TMS_MIRROR_DAMAGED`` set the numbers.
"""

import json
import os
import random
import re
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path

from example_project.training.models import Course, TrainingClass, User
from tests.patience import PATIENCE
from tests.scenarios.processes import stop
from tests.scenarios.test_snapshot import is_idle
from tms_webhooks.models import Delivery

OBJECTS = int(os.environ.get("TMS_MIRROR_OBJECTS", "40"))
EDITS = int(os.environ.get("TMS_MIRROR_EDITS", "60"))
DAMAGED = int(os.environ.get("TMS_MIRROR_DAMAGED", "6"))
SECONDS = PATIENCE + OBJECTS / 20 + EDITS / 5
# The nouns whose rows are damaged. Each takes a snapshot.
NOUNS = ("class", "enrollment")
NOUNS_OF_REFERENCES = {
    **{name: name for name in ("class", "user", "course", "classroom", "company", "organization")},
    "instructor": "user",
    "learner_organization": "organization",
}
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "mirror.md"


class Mirror:
    """The customer's program and its table."""

    def __init__(self, folder, environment):
        (code,) = re.findall(r"^```python\n(# mirror\.py\n.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
        (folder / "mirror.py").write_text(code)
        self.folder, self.environment = folder, {**os.environ, **environment}

    def start(self, command):
        arguments = [sys.executable, "mirror.py", command]
        return subprocess.Popen(arguments, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True)

    def run(self, command):
        with self.start(command) as process:
            printed, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, printed
        return printed.splitlines()

    def execute(self, statement, *parameters):
        with closing(sqlite3.connect(self.folder / "mirror.sqlite3", timeout=20)) as table, table:
            return table.execute(statement, parameters).fetchall()

    def rows(self):
        found = self.execute("SELECT noun, id, digest, data FROM mirror WHERE data IS NOT NULL")
        return {(noun, key): (digest, json.loads(data)) for noun, key, digest, data in found}


def digests(rows):
    return {place: digest for place, (digest, _data) in rows.items()}


def names_of(rows, noun, field):
    return {key: data[field] for (other, key), (_digest, data) in rows.items() if other == noun}


def names_in(tables, model, field):
    return {str(key): name for key, name in model.objects.using(tables.using).values_list("pk", field)}


@contextmanager
def ended(process):
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def free_port():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return server.getsockname()[1]


def answers(url):
    try:
        urllib.request.urlopen(url, timeout=PATIENCE)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def damage(mirror, dice):
    """Damage rows; return how many are lost or stale now, and how many are ghosts, of each noun."""
    whole = sorted(place for place in mirror.rows() if place[0] in NOUNS)
    rows, wrong = dice.sample(whole, 2 * DAMAGED // 3), {}
    for number, (noun, key) in enumerate(rows):
        if number % 2:
            mirror.execute("DELETE FROM mirror WHERE noun = ? AND id = ?", noun, key)
        else:
            mirror.execute("UPDATE mirror SET digest = 'stale', sequence = 999 WHERE noun = ? AND id = ?", noun, key)
        wrong.setdefault(noun, [0, 0])[1] += 1
    for number in range(DAMAGED - len(rows)):
        noun = dice.choice(NOUNS)
        mirror.execute("INSERT INTO mirror VALUES (?, ?, 1, 'ghost', '{}', 0)", noun, str(900_000 + number))
        wrong.setdefault(noun, [0, 0])[0] += 1
    return wrong


def test_after_edits_and_kills_the_mirror_is_equal_and_each_damaged_row_is_found(processes, tables, tmp_path):
    port, api = free_port(), free_port()
    here = processes.but(ALLOWED_PORTS=[port])
    with here.start("tests.scenarios.mirrored", "fill", f"http://127.0.0.1:{port}/hook", str(OBJECTS)) as filler:
        known = json.loads(filler.communicate(timeout=SECONDS)[0])
    known |= {"TMS_API": f"http://127.0.0.1:{api}/api", "PORT": str(port), "PAUSE": "0.2"}
    mirror = Mirror(tmp_path, known)

    with (
        here.start("django", "runserver", "--noreload", "--skip-checks", f"127.0.0.1:{api}"),
        ended(mirror.start("listen")),
    ):
        tables.wait_until(lambda: answers(known["TMS_API"]) and answers(f"http://127.0.0.1:{port}/"))
        with here.drain(seconds=SECONDS):
            mirror.run("snapshot")
            # The worker is killed here, and once more below.
        assert len(mirror.rows()) >= OBJECTS

        with here.start("tests.scenarios.mirrored", "edit", str(EDITS)) as editor:
            with here.drain(seconds=SECONDS):
                tables.wait_until(lambda: Delivery.objects.using(tables.using).count() > OBJECTS + EDITS // 3)
            with here.drain(seconds=SECONDS) as heir:
                edits = json.loads(editor.communicate(timeout=SECONDS)[0])
                tables.wait_until(lambda: is_idle(tables.using), seconds=SECONDS)
                assert mirror.run("compare") == ["The mirror is equal."]
                whole, sent = mirror.rows(), Delivery.objects.using(tables.using).count()

                wrong = damage(mirror, random.Random(3))
                *found, last = mirror.run("compare")
                stop(heir)

    print(json.dumps({"objects": len(whole), "edits": edits, "damaged": wrong}))  # noqa: T201
    assert last == "The mirror is equal."
    expected = [f"{noun}: {ghosts} ghosts, {others} lost or stale" for noun, (ghosts, others) in wrong.items()]
    assert sorted(line for line in found if not line.endswith(": 0 ghosts, 0 lost or stale")) == sorted(expected)
    # A snapshot of each noun with its last event.
    requested = sum(others for _ghosts, others in wrong.values())
    nouns = sum(others > 0 for _ghosts, others in wrong.values())
    assert Delivery.objects.using(tables.using).count() == sent + requested + nouns
    assert digests(mirror.rows()) == digests(whole)
    # What a row shows of another object may be of an earlier day: the other one's own row has the value of now.
    rows = mirror.rows()
    for noun, key in rows:
        data = rows[noun, key][1]
        for name, other in NOUNS_OF_REFERENCES.items():
            # Of what others own, a row has the ids of further objects, and none of their values.
            if isinstance(data.get(name), dict) and data[name].keys() > {"id"} and data[name]["id"] is not None:
                assert (other, str(data[name]["id"])) in rows, (noun, key)
    assert names_of(rows, "class", "name") == names_in(tables, TrainingClass, "name")
    assert names_of(rows, "course", "name") == names_in(tables, Course, "name")
    assert names_of(rows, "user", "last_name") == names_in(tables, User, "last_name")
