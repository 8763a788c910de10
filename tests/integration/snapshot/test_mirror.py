"""A program of a customer keeps a copy, finds exactly what is wrong with it, and heals it by a snapshot of that alone."""

import re
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from example_project.training.factories import (
    ClassEnrollmentFactory,
    CourseAssignmentFactory,
    CourseFeedbackFactory,
    TrainingClassFactory,
    UserFactory,
)
from example_project.training.models import ClassEnrollment, TrainingClass
from tests import uncaptured
from tests.factories import WebhookFactory
from tests.integration.api.people import at
from tms_webhooks import catalogue, snapshot
from tms_webhooks.choices import JobStatus, PayloadDetail
from tms_webhooks.comparison import Comparison
from tms_webhooks.models import Job

BUCKETS = 16
PROGRAM = Path(__file__).parents[3] / "docs" / "howto" / "mirror.py"
HOW_TO = Path(__file__).parents[3] / "docs" / "howto" / "snapshot.md"
PAGE = {}
"""The functions that the page shows for such a program."""
exec(HOW_TO.read_text(encoding="utf-8").split("## Compare your copy")[1].split("```python\n")[1].split("```")[0], PAGE)


class Mirror:
    """What the customer keeps of one noun: data, digest and sequence of each object, by its id as text.

    It knows the API alone, as a program of the customer does.
    """

    def __init__(self, client, webhook, noun):
        self.client, self.webhook, self.noun = client, webhook, noun
        self.rows = {}
        self.sequences = {}

    def receive(self, event):
        noun, _, verb = event["type"].partition(".")
        key = str(event["data"]["id"])
        if noun != self.noun or event["sequence"] < self.sequences.get(key, 0):
            return
        self.sequences[key] = event["sequence"]
        if verb in ("deleted", "removed"):
            self.rows.pop(key, None)
        else:
            self.rows[key] = event["data"], event["digest"]

    def differing_buckets(self):
        """Return the numbers of the buckets that differ, after one request for each page."""
        found, url = [], f"{at(self.webhook, 'digests')}?noun={self.noun}&buckets={BUCKETS}"
        while url:
            page = self.client.get(url).json()
            found += [one["bucket"] for one in page["results"] if one["digest"] != self.digest_of(one["bucket"])]
            url = page["next"]
        return found

    def digest_of(self, bucket):
        digests = {key: digest for key, (_data, digest) in self.rows.items()}
        return PAGE["digest_of_bucket"](digests, bucket, BUCKETS)

    def compare(self):
        """Return the ids of the lost, the stale and the ghost rows."""
        there = {}
        for bucket in self.differing_buckets():
            url = f"{at(self.webhook, 'objects')}?noun={self.noun}&buckets={BUCKETS}&bucket={bucket}"
            while url:
                page = self.client.get(url).json()
                there |= {one["id"]: one["digest"] for one in page["results"]}
                url = page["next"]
        examined = {bucket_of(key) for key in there} | set(self.differing_buckets())
        here = {key: digest for key, (_data, digest) in self.rows.items() if bucket_of(key) in examined}
        return (
            {key for key in there if key not in here},
            {key for key in there if key in here and here[key] != there[key]},
            {key for key in here if key not in there},
        )

    def ask_for(self, **selection):
        """Start a snapshot of the objects that are wrong."""
        body = {"nouns": [self.noun], **selection}
        return self.client.post(at(self.webhook, "snapshot"), body, format="json")


def bucket_of(key):
    return PAGE["bucket_of"](key, BUCKETS)


@pytest.mark.parametrize("detail", PayloadDetail)
def test_lost_stale_and_ghost_rows_are_found_and_healed(client, organization, deliver_to, wire, detail):
    webhook = WebhookFactory(organization=organization, events=["class.*"], payload=detail)
    mirror = Mirror(client, webhook, "class")
    classes = TrainingClassFactory.create_batch(12, organization=organization)
    deliver_to(mirror)
    assert mirror.compare() == (set(), set(), set())

    lost, stale, ghost = (str(one.pk) for one in classes[:3])
    del mirror.rows[lost], mirror.sequences[lost]
    # What no event reports, such as statements of SQL.
    uncaptured.update(TrainingClass.objects.filter(pk=stale), external_id="STALE")
    TrainingClass.objects.filter(pk=ghost)._raw_delete("default")
    assert mirror.compare() == ({lost}, {stale}, {ghost})

    response = mirror.ask_for(ids=[lost, stale])
    assert (response.status_code, response.json()["total"]) == (202, 2)
    deliver_to(mirror)
    del mirror.rows[ghost]

    assert mirror.compare() == (set(), set(), set())
    assert mirror.differing_buckets() == []
    assert mirror.rows[stale][0]["external_id"] == "STALE"


def test_whole_buckets_are_healed(client, organization, deliver_to):
    webhook = WebhookFactory(organization=organization, events=["class.*"])
    mirror = Mirror(client, webhook, "class")
    TrainingClassFactory.create_batch(30, organization=organization)
    deliver_to(mirror)
    broken = mirror.differing_buckets()
    assert broken == []
    lost = [key for key in mirror.rows if bucket_of(key) in (3, 7)]
    for key in lost:
        del mirror.rows[key], mirror.sequences[key]

    response = mirror.ask_for(buckets={"numbers": mirror.differing_buckets(), "of": BUCKETS})
    deliver_to(mirror)

    assert response.json()["total"] == len(lost) > 0
    job = Job.objects.get()
    assert (job.status, job.done) == (JobStatus.FINISHED, len(lost))
    assert mirror.differing_buckets() == []


def test_a_change_of_what_an_object_refers_to_is_an_affair_of_that(client, organization, deliver_to):
    webhook = WebhookFactory(organization=organization, events=["enrollment.*", "user.*"])
    enrollments, users = (Mirror(client, webhook, noun) for noun in ("enrollment", "user"))
    enrollment = ClassEnrollmentFactory(
        training_class__organization=organization, user=UserFactory(organization=organization)
    )
    deliver_to(enrollments, users)
    users.ask_for()
    deliver_to(enrollments, users)

    learner = enrollment.user
    learner.last_name = "Renamed"
    learner.save()

    assert enrollments.compare() == (set(), set(), set())
    assert users.compare() == (set(), {str(learner.pk)}, set())
    deliver_to(enrollments, users)
    assert users.compare() == (set(), set(), set())
    assert ClassEnrollment.objects.get().user.last_name == "Renamed"


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        ({"nouns": ["class"], "ids": []}, "#/ids", None),
        (
            {"nouns": ["class"], "ids": ["1"], "buckets": {"numbers": [1], "of": 2}},
            "#/ids",
            "Give ids or buckets, not both.",
        ),
        (
            {"nouns": ["class", "enrollment"], "ids": ["1"]},
            "#/ids",
            "ids belong to one noun; name one, or leave ids out.",
        ),
        (
            {"nouns": ["class"], "buckets": {"numbers": [2], "of": 2}},
            "#/buckets/numbers",
            "2 is no bucket of 2; use numbers from 0 to 1.",
        ),
    ],
)
def test_a_wrong_selection_is_refused(client, organization, body, pointer, detail):
    webhook = WebhookFactory(organization=organization, events=["class.*", "enrollment.*"])

    response = client.post(at(webhook, "snapshot"), {**body, "dry_run": True}, format="json")

    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error["pointer"] == pointer
    assert detail is None or error["detail"] == detail


def test_ids_that_no_object_has_select_nothing(client, organization):
    webhook = WebhookFactory(organization=organization, events=["class.*"])
    TrainingClassFactory(organization=organization)
    other = TrainingClassFactory()

    for ids in (["no number"], ["0"], [str(other.pk)]):
        response = client.post(
            at(webhook, "snapshot"), {"nouns": ["class"], "ids": ids, "dry_run": True}, format="json"
        )
        assert response.json() == {"dry_run": True, "total": 0, "jobs": []}


class Program:
    """The program of the page on mirrors, with its table in memory."""

    def __init__(self, table):
        exec(PROGRAM.read_text(encoding="utf-8").partition("if __name__")[0], names := {})
        self.table, self._handle = table, names["handle"]
        self.table.executescript(names["TABLES"])

    def receive(self, event):
        self._handle(event, self.table)


@pytest.fixture
def program():
    with closing(sqlite3.connect(":memory:")) as table:
        yield Program(table)


def test_a_mirror_keeps_each_noun_under_the_name_by_which_it_is_compared(client, organization, deliver_to, program):
    webhook = WebhookFactory(organization=organization, events=["*"])
    assignment = CourseAssignmentFactory(course__organization=organization)
    feedback, other = CourseFeedbackFactory.create_batch(2, course_assignment=assignment)
    other.delete()
    deliver_to(program)

    (row,) = program.table.execute("SELECT id FROM mirror WHERE noun = 'feedback' AND data IS NOT NULL").fetchall()
    assert row == (str(feedback.pk),)
    assert {noun for (noun,) in program.table.execute("SELECT noun FROM mirror")} <= {*snapshot.available(webhook)}


def test_each_event_leaves_in_a_mirror_what_it_says(program):
    def event(name, **values):
        return catalogue.get(name).example() | values

    achievement, path, cancelled = map(event, ("achievement.received", "learning_path.completed", "class.cancelled"))
    for one in (
        event("enrollment.cancelled", test=True),
        event("webhook.failing"),
        achievement,
        event("achievement.revoked", data=achievement["data"], sequence=achievement["sequence"] + 1),
        path,
        cancelled,
        # One that is older than the last one changes nothing.
        event("class.deleted", data=cancelled["data"], sequence=cancelled["sequence"] - 1),
    ):
        program.receive(one)

    rows = program.table.execute("SELECT noun, id, data IS NOT NULL FROM mirror ORDER BY noun, id").fetchall()
    assert rows == [
        ("achievement", str(achievement["data"]["id"]), False),
        ("class", str(cancelled["data"]["id"]), True),
        ("learning_path", "44:5012", True),
    ]


def test_in_postgresql_the_statements_of_the_page_answer_as_the_api_does(client, organization, deliver_to, program):
    if connection.vendor != "postgresql":
        pytest.skip("The statements are those of PostgreSQL.")
    from psycopg import RawCursor

    webhook = WebhookFactory(organization=organization, events=["*"])
    seats = ClassEnrollmentFactory.create_batch(40, training_class__organization=organization)
    seats[0].user.delete()
    seats[1].training_class.delete()
    CourseFeedbackFactory(course_assignment__course__organization=organization)
    client.post(at(webhook, "snapshot"), {"nouns": "all"}, format="json")
    deliver_to(program)
    (block,) = re.findall(
        r"^```postgresql\n(.*?)^```", PROGRAM.with_suffix(".md").read_text(encoding="utf-8"), re.M | re.S
    )
    create, store, sweep, digests, forget, reset, names = [one for one in block.split(";\n") if one.strip()]

    with connection.cursor(), RawCursor(connection.connection) as page:
        page.execute(create)
        rows = program.table.execute("SELECT noun, id, sequence, digest, data FROM mirror").fetchall()
        for row in [*rows, *((noun, key, sequence - 1, "old", "{}") for noun, key, sequence, *_others in rows)]:
            page.execute(store, row)
        for noun in snapshot.available(webhook):
            found = {bucket: (count, digest) for bucket, count, digest in page.execute(digests, [noun])}
            answer = Comparison(webhook, noun).buckets(of=64).buckets
            assert found == {one.bucket: (one.count, one.digest) for one in answer if one.count}
        joined = dict(page.execute(names).fetchall())
        assert joined == {str(one.pk): one.user.last_name for one in seats[2:]}

        ghost, stale = str(seats[2].pk), str(seats[3].pk)
        page.execute(forget, ["enrollment", [ghost]])
        page.execute(reset, ["enrollment", [stale]])
        page.execute(store, ["enrollment", stale, 1, "healed", "{}"])
        page.execute("SELECT digest FROM mirror WHERE noun = 'enrollment' AND id = ANY($1)", [[ghost, stale]])
        assert page.fetchall() == [("healed",)]
        page.execute(sweep, ["enrollment", timezone.now() + timedelta(days=1)])
        assert page.execute(names).fetchall() == []
        assert page.execute("SELECT count(*) FROM mirror").fetchone() == (len(rows) - 1,)
