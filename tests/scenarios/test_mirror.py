"""docs/howto/mirror.md: after edits in every way and two kills of the worker the mirror is equal, and each damaged row is found.

``TMS_MIRROR_OBJECTS``, ``TMS_MIRROR_EDITS`` and ``TMS_MIRROR_DAMAGED`` set the numbers.
"""

import json
import os
import random
import socket
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import closing, contextmanager

import pytest

from tests.patience import PATIENCE, at_some_pace
from tests.scenarios import mirror_program
from tests.scenarios.processes import stop
from tests.scenarios.test_snapshot import is_idle
from tms_webhooks.models import Delivery
from tms_webhooks.sources.states import SAVE_TIMESTAMPS

OBJECTS = int(os.environ.get("TMS_MIRROR_OBJECTS", "60"))
EDITS = int(os.environ.get("TMS_MIRROR_EDITS", "80"))
DAMAGED = int(os.environ.get("TMS_MIRROR_DAMAGED", "6"))
STEADY_OBJECTS = max(OBJECTS, 300)
SECONDS = PATIENCE + OBJECTS / 10 + EDITS / 2
NOT_COMPARED = {*SAVE_TIMESTAMPS, "enrolled_count", "open_count"}
"""Fields that no digest covers: they count other rows, or change with each save."""
NO_ID = {("user", "custom"), ("class", "custom")}
"""Fields with names of other rows, but without their ids."""
NOUNS = {
    ("class", "instructor"): "user",
    ("class", "instructors"): "user",
    ("user", "manager"): "user",
    ("achievement", "achievement"): "definition",
    ("learning_path", "courses"): "course",
    ("learning_path", "learning_path"): "definition",
}
"""The nouns of nested objects that have other names."""
PATHS = {
    ("enrollment", "course"): ("class", "course"),
    ("enrollment", "organization"): ("class", "organization"),
    ("enrollment", "learner_organization"): ("user", "organization"),
    ("course_assignment", "organization"): ("user", "organization"),
    ("subscription", "organization"): ("user", "organization"),
    ("learning_path", "organization"): ("user", "organization"),
    ("achievement", "organization"): ("achievement", "organization"),
    ("feedback", "class"): ("enrollment", "class"),
    ("feedback", "organization"): ("course", "organization"),
}
"""Nested objects that are those of another nested object."""


class Mirror(mirror_program.Mirror):
    """With what the test reads and damages in its table."""

    def rows(self):
        found = self.execute("SELECT noun, id, data FROM mirror WHERE data IS NOT NULL")
        return {(noun, key): json.loads(data) for noun, key, data in found}

    def add_ghost(self):
        """Add a row that no snapshot names; return its noun and id."""
        self.execute("INSERT INTO mirror VALUES ('class', '800000', 1, 'ghost', '{}', 0)")
        return "class", "800000"


class Times:
    """The seconds of each part."""

    def __init__(self):
        self.seconds, self._last = {}, time.monotonic()

    def note(self, name):
        now = time.monotonic()
        self.seconds[name], self._last = round(now - self._last, 1), now


def unequal(rows, truth):
    """Return the rows and values of a mirror that differ from the truth. Nested objects have the values of their own rows."""
    found = [(*place, "ghost") for place in rows.keys() - truth] + [(*place, "lost") for place in truth.keys() - rows]
    for (noun, key), there in truth.items():
        here = rows.get((noun, key), there)
        for name in there.keys() - NOT_COMPARED - {name for other, name in NO_ID if other == noun}:
            value, expected = here.get(name), there[name]
            if (noun, name) in PATHS or is_object(value) or is_object(expected):
                value = joined(rows, noun, here, PATHS.get((noun, name), (name,)))
                expected = value and {one: (expected or {}).get(one) for one in value}
            elif (noun, name) == ("subscription", "name"):
                value = name_of(rows, here)
            elif name == "instructors":
                value = [whole(rows, noun, name, one) for one in value]
                expected = [{field: one[field] for field in ours} for one, ours in zip(expected, value, strict=False)]
            elif (noun, name) == ("learning_path", "courses"):
                value = [whole(rows, noun, name, one) | {"completed_at": one["completed_at"]} for one in value]
                expected = [{field: one[field] for field in ours} for one, ours in zip(expected, value, strict=False)]
            if value != expected:
                found.append((noun, key, name, repr((value, expected))))
    return found


def is_object(value):
    return isinstance(value, dict) and "id" in value


def joined(rows, noun, data, path):
    """Return the nested object at a path of nouns; None if a row on the way is not in the mirror, or lacks it."""
    *way, last = path
    for name in way:
        noun, key = NOUNS.get((noun, name), name), (data.get(name) or {}).get("id")
        data = rows.get((noun, str(key)))
        if data is None:
            return None
    # Of a person of another organization, a row has what an own object shows alone.
    return whole(rows, noun, last, data[last]) if last in data else None


def whole(rows, noun, name, nested):
    """Return a nested object with the values of its own row, or its id alone if it has none."""
    noun = NOUNS.get((noun, name), name)
    row = rows.get((noun, str((nested or {}).get("id"))))
    if row is None:
        return {"id": nested and nested["id"]}
    if noun == "subscription":
        row = {**row, "name": name_of(rows, row)}
    return {one: row.get(one) for one in nested if (noun, one) not in NO_ID}


def name_of(rows, subscription):
    """Return the name of a subscription, which is that of its profile."""
    return rows.get(("profile", str(subscription["profile"]["id"])), subscription)["name"]


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


def is_steady(place):
    """Return whether `mirrored.edit_steadily` leaves an object as it is."""
    return int(place[1].rpartition(":")[2]) % 2 == 1


def damage(mirror, dice, may_be=lambda _place: True):
    """Damage rows of all nouns; return the numbers of ghosts, and of lost or stale ones, by noun. ``may_be`` chooses whole rows."""
    whole, gone = (
        sorted(filter(may_be, mirror.rows())),
        mirror.execute("SELECT noun, id FROM mirror WHERE data IS NULL ORDER BY 1, 2"),
    )
    rows, wrong = dice.sample(whole, 2 * DAMAGED // 3), {}
    for number, (noun, key) in enumerate(rows):
        if number % 2:
            mirror.execute("DELETE FROM mirror WHERE noun = ? AND id = ?", noun, key)
        else:
            mirror.execute(
                "UPDATE mirror SET digest = 'x', data = '{}', sequence = 999 WHERE noun = ? AND id = ?", noun, key
            )
        wrong.setdefault(noun, [0, 0])[1] += 1
    for number in range(DAMAGED - len(rows)):
        if number % 2 and gone:
            noun, key = gone.pop(dice.randrange(len(gone)))
        else:
            noun, key = dice.choice(whole)[0], str(900_000 + number)
        ghost = "INSERT OR REPLACE INTO mirror VALUES (?, ?, 1, 'ghost', '{}', 0)"
        mirror.execute(ghost, noun, key)
        wrong.setdefault(noun, [0, 0])[0] += 1
    return wrong


def printed(wrong):
    """Return the lines that the comparison prints of them."""
    return sorted(f"{noun}: {ghosts} ghosts, {others} lost or stale" for noun, (ghosts, others) in wrong.items())


def sent_by(tables):
    """Return how many objects and snapshots were sent."""
    rows = Delivery.objects.using(tables.using).values_list("event__type", flat=True)
    names = [name for name in rows if name.endswith((".snapshot", ".snapshot_completed"))]
    return Counter(name.partition(".")[0] for name in names)


class World:
    """What the customer knows of the objects, with the customer's mirror."""

    def __init__(self, processes, port, api, folder, *, objects, pause):
        self.here = processes.but(ALLOWED_PORTS=[port])
        self.known = self.call("fill", f"http://127.0.0.1:{port}/hook", str(objects))
        self.known |= {"TMS_API": f"http://127.0.0.1:{api}/api", "PORT": str(port), "PAUSE": str(pause)}
        self.mirror = Mirror(folder / "pushed", self.known, seconds=SECONDS)
        self._api = api

    def call(self, *arguments):
        with self.here.start("tests.scenarios.mirrored", *arguments) as process:
            return json.loads(process.communicate(timeout=SECONDS)[0])

    @contextmanager
    def listening(self, tables):
        """Run the API and the mirror, which receives requests."""
        server = "django", "runserver", "--noreload", "--skip-checks", f"127.0.0.1:{self._api}"
        with self.here.start(*server), ended(self.mirror.start("listen")):
            urls = self.known["TMS_API"], f"http://127.0.0.1:{self.known['PORT']}/"
            tables.wait_until(lambda: all(map(answers, urls)))
            yield


def test_after_edits_and_kills_the_mirror_is_equal_and_each_damaged_row_is_found(processes, tables, tmp_path):
    world = World(processes, free_port(), free_port(), tmp_path, objects=OBJECTS, pause=0.2)
    here, call, known, mirror = world.here, world.call, world.known, world.mirror
    reader = Mirror(tmp_path / "pulled", {**known, "WEBHOOK_ID": known["PULLED"]}, seconds=SECONDS)
    times = Times()

    with world.listening(tables):
        with here.drain(seconds=SECONDS):
            ghost = mirror.add_ghost()
            mirror.run("snapshot")
            times.note("snapshot")
            reader.run("snapshot")
            times.note("snapshot by the feed")
            # The worker is killed here, and once more below.
        assert ghost not in mirror.rows()
        assert mirror.rows().keys() == reader.rows().keys()

        with here.start("tests.scenarios.mirrored", "edit", str(EDITS)) as editor:
            with here.drain(seconds=SECONDS):
                sent = Delivery.objects.using(tables.using).count()
                tables.wait_until(lambda: Delivery.objects.using(tables.using).count() > sent + EDITS // 3)
            with here.drain(seconds=SECONDS) as heir:
                edits = json.loads(editor.communicate(timeout=SECONDS)[0])
                times.note("edits")
                tables.wait_until(lambda: is_idle(tables.using), seconds=SECONDS)
                times.note("deliveries")
                reader.run("follow")
                times.note("the feed")
                objects = call("truth", known["WEBHOOK_ID"])
                truth = {(noun, key): data for noun, some in objects.items() for key, data in some.items()}
                # No event says that an own object shows a course, a classroom or a profile from now on, or no longer.
                others = {(*place, fault) for place in call("foreign") for fault in ("lost", "ghost")}
                for one in (mirror, reader):
                    wrong = {*unequal(one.rows(), truth)} - others
                    # Nor does one report what becomes of a completed path.
                    assert not (wrong := {one for one in wrong if one[0] != "learning_path"}), sorted(wrong)[:20]
                paths = {place for place in mirror.rows() if place[0] == "learning_path"}
                assert paths & truth.keys()
                *_found, last = mirror.run("compare")
                assert not (wrong := unequal(mirror.rows(), truth)), wrong[:20]
                assert last == "The mirror is equal."
                times.note("first comparison")
                assert reader.run("compare")[-1] == "The mirror is equal."
                assert mirror.run("compare") == ["The mirror is equal."]
                times.note("comparison of equal rows")
                whole, sent = mirror.rows(), sent_by(tables)

                wrong = damage(mirror, random.Random(3))
                *found, last = mirror.run("compare")
                times.note("comparison and repair")
                stop(heir)

    figures = {"objects": len(whole), "edits": edits, "damaged": wrong, "seconds": times.seconds}
    print(json.dumps(figures))  # noqa: T201
    assert last == "The mirror is equal."
    assert sorted(found) == printed(wrong)
    # Those objects alone, and the last event of one snapshot of each noun.
    requested = Counter({noun: others for noun, (_ghosts, others) in wrong.items() if others})
    assert sent_by(tables) - sent == requested + Counter(webhook=len(requested))

    assert mirror.rows().keys() == whole.keys()
    assert not (wrong := unequal(mirror.rows(), truth)), wrong[:20]


@pytest.mark.slow
def test_beside_20_changes_a_second_the_comparison_ends_equal_and_repairs_the_damaged_rows_alone(
    processes, tables, tmp_path
):
    world = World(processes, free_port(), free_port(), tmp_path, objects=STEADY_OBJECTS, pause=0.2)
    mirror = world.mirror
    with world.listening(tables), world.here.drain(seconds=10 * SECONDS):
        mirror.run("snapshot")
        with world.here.start("tests.scenarios.mirrored", "edit_steadily", "20") as editor:
            # One of them is damaged, too.
            tables.wait_until(lambda: mirror.execute("SELECT 1 FROM mirror WHERE data IS NULL"))

            def attempt(pace):
                """Damage rows and compare, with pauses in which a change becomes a delivery at this pace."""
                wrong = damage(mirror, random.Random(3), is_steady)
                mirror.environment["PAUSE"], begun = str(pace), time.monotonic()
                *found, last = mirror.run("compare")
                figures = {"pace": pace, "seconds": round(time.monotonic() - begun, 1), "found": found}
                print(json.dumps(figures))  # noqa: T201
                assert last == "The mirror is equal."
                assert sorted(found) == printed(wrong)

            at_some_pace(attempt)
            edits = stop(editor)
        tables.wait_until(lambda: is_idle(tables.using), seconds=SECONDS)
        assert edits > 0
        assert mirror.run("compare") == ["The mirror is equal."]
        objects = world.call("truth", world.known["WEBHOOK_ID"])
        truth = {(noun, key): data for noun, some in objects.items() for key, data in some.items()}
    assert not (wrong := unequal(mirror.rows(), truth)), wrong[:20]
