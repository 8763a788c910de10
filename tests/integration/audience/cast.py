"""Organizations, webhooks and objects of each kind of audience, and what each webhook gets of a change.

top                     campus (learners)          market (shows)      stranger
├── west                ├── learners               ├── shop
│   ├── old             ├── transfer               └── store           stall (shows)
│   ├── second          └── annex
│   ├── branch
│   └── limb
└── east
    └── new

Webhooks of organizations with others below include their children. Of each row of the table, all webhooks are there.
"""

import json
from contextlib import ExitStack, contextmanager
from functools import reduce
from typing import NamedTuple

from django.utils import timezone

from example_project.training.factories import (
    ClassEnrollmentFactory,
    CourseAssignmentFactory,
    CourseFactory,
    OrganizationFactory,
    TrainingClassFactory,
    UserFactory,
)
from example_project.training.models import Role
from tests.factories import WebhookFactory
from tests.integration.capture.conftest import listening
from tests.testapp.models import Attendance, Lesson, Series
from tms_webhooks import tasks
from tms_webhooks.actors import actor_context
from tms_webhooks.models import Delivery, Job, Subscription
from tms_webhooks.outbox.fanout import fan_out

BELOW = {
    "west": "top", "old": "west", "second": "west", "branch": "west", "limb": "west", "east": "top", "new": "east",
    "learners": "campus", "transfer": "campus", "annex": "campus", "shop": "market", "store": "market",
}  # fmt: skip
NAMES = (
    "top", "west", "old", "second", "branch", "limb", "east", "new", "campus", "learners", "transfer", "annex", "market", "shop",
    "store", "stall", "stranger",
)  # fmt: skip
FOR_LEARNERS = {"campus", "learners", "transfer", "annex"}
PARENTS = {*BELOW.values(), "stranger"}
PROOF = {
    "class": "status",
    "course": "name",
    "course_assignment": "completion_status",
    "enrollment": "status",
    "user": "phone",
}
"""A value of each noun that is neither an id nor, of a user, shown to others."""
SHOWN = {
    "course": {
        "id", "external_id", "name", "description", "available_instructor_led", "available_self_paced", "organization",
        "created_at", "updated_at",
    },
    "user": {"id", "external_id", "first_name", "last_name", "email", "disabled", "closed_at", "merged_into"},
}  # fmt: skip
"""What an organization gets of a thing that its objects show."""
ACTOR = "key-of-the-caller"
MOST_ROUNDS = 20


class Played(NamedTuple):
    """What came of a change.

    - ``bodies``: what each webhook got, in order
    - ``before``, ``after``: the texts that objects show, by noun and id
    """

    bodies: dict[str, list[dict[str, object]]]
    before: dict[tuple[str, int], set[str]]
    after: dict[tuple[str, int], set[str]]


class Cast:
    """The organizations by their names, their webhooks, and the objects."""

    def __init__(self):
        self.organizations = {}
        for name in NAMES:
            parent = self.organizations.get(BELOW.get(name, ""))
            values = {"name": f"Name of {name}", "external_id": f"KEY-OF-{name.upper()}", "parent": parent}
            self.organizations[name] = OrganizationFactory(**values)
        self._played = {}
        self.names = {one.pk: name for name, one in self.organizations.items()}
        self._make_objects(**self.organizations)
        # After the objects: of the changes that make them, no event is recorded.
        self.webhooks = {
            name: WebhookFactory(
                organization=one,
                events=["*"],
                audience="learner" if name in FOR_LEARNERS else "both",
                include_children=name in PARENTS,
            )
            for name, one in self.organizations.items()
        }

    def __getattr__(self, name):
        return self.organizations[name]

    def _make_objects(
        self, *, old, second, new, branch, limb, learners, transfer, annex, shop, store, stall, **_others
    ):
        self.learner = UserFactory(organization=learners, first_name="Waseem")
        self.other_learner = UserFactory(organization=transfer, first_name="Noor")
        self.training_class = TrainingClassFactory(organization=old, name="Was Algebra")
        self.class_of_new = TrainingClassFactory(organization=new, name="Is Logic")
        self.enrollment = ClassEnrollmentFactory(training_class=self.training_class, user=self.learner)
        ClassEnrollmentFactory(training_class__organization=old, user=UserFactory(organization=annex))
        self.member = UserFactory(organization=old, first_name="Wassily")
        self.member_of_transfer = UserFactory(organization=transfer, first_name="Nour")
        self.assignment = CourseAssignmentFactory(user=self.member, payment_type="Was an invoice")
        self.course = CourseFactory(organization=old, name="Was Cooking", description="")
        self.teacher = UserFactory(organization=old, first_name="Wastrel", phone="+31 20 555 0100")
        for one in (shop, store, stall):
            shown = {"course": self.course, "primary_instructor": self.teacher}
            TrainingClassFactory(organization=one, **shown, name=f"Class of {one.name}")
        self.public = Role.objects.create(pk=9_001, name="Was public")
        for one in (shop, store):
            UserFactory(organization=one).roles.add(self.public)
        self.class_of_branch = TrainingClassFactory(organization=branch, name="Was Ethics")
        self._make_lessons(old, second, new, limb)

    def _make_lessons(self, old, second, new, limb):
        self.series, self.series_of_old, self.series_of_new, self.series_of_second, self.series_of_limb = (
            Series.objects.create() for _number in range(5)
        )
        self.empty_series = Series.objects.create()
        self.series.organizations.set([old, second])
        self.series_of_old.organizations.set([old])
        self.series_of_new.organizations.set([old, new])
        self.series_of_second.organizations.set([second])
        self.series_of_limb.organizations.set([old, limb])
        self.pupil = UserFactory(organization=self.organizations["learners"], first_name="Wasiq")
        values = {"title": "Was Geometry", "learner": self.pupil}
        # Their keys are above those of classes and enrollments, which are the same nouns.
        self.lesson = Lesson.objects.create(pk=9_001, series=self.series, host=old, **values)
        self.lesson.owners.set([old, second])
        self.homeless = Lesson.objects.create(pk=9_002, series=self.empty_series, title="Was homeless")
        self.lesson_of_limb = Lesson.objects.create(pk=9_003, series=self.series_of_limb, **values)
        self.lesson_of_old = Lesson.objects.create(pk=9_004, series=self.series_of_old, **values)
        self.attendance = Attendance.objects.create(pk=9_001, lesson=self.lesson, learner=self.pupil)

    def fan_out(self):
        """Fan out all events."""
        while fan_out(timezone.now()):
            pass

    def settle(self):
        """Do what workers do, until nothing is left to do: fan out, and work on the jobs of moves."""
        self.fan_out()
        for _number in range(MOST_ROUNDS):
            if not Job.objects.unfinished().exists():
                break
            tasks.work_on_jobs()
            self.fan_out()
        assert not Job.objects.unfinished().exists()

    def play(self, row):
        """Make the change of a row, once for all questions, and return what came of it."""
        if row.name not in self._played:
            self._played[row.name] = self._play(row)
        return self._played[row.name]

    def play_for(self, name, row):
        """Make the change of a row where one webhook alone subscribes, and return what it gets."""
        Subscription.objects.exclude(webhook=self.webhooks[name]).delete()
        return self._play(row).bodies[name]

    def _play(self, row):
        before = self._texts()
        with self.capturing(row), actor_context("api", ACTOR, correlation_id="request-of-the-caller"):
            row.change(self)
            self.settle()
        found = {name: [] for name in self.webhooks}
        names = {webhook.pk: name for name, webhook in self.webhooks.items()}
        for one in Delivery.objects.select_related("event").order_by("event_id", "pk"):
            body = json.loads(one.event.body)
            if body["type"].partition(".")[0] in row.nouns:
                found[names[one.webhook_id]].append(body)
        return Played(found, before, self._texts())

    def _texts(self):
        """Return the texts that the objects show now, by noun and id."""
        found = {}
        for noun, obj, paths in (
            ("class", self.training_class, ("name", "organization.name")),
            ("class", self.class_of_branch, ("name",)),
            ("class", self.lesson, ("title",)),
            ("course", self.course, ("name", "organization.name")),
            ("course_assignment", self.assignment, ("payment_type", "user.first_name", "user.organization.name")),
            ("enrollment", self.enrollment, ("user.first_name", "training_class.name", "user.organization.name")),
            ("enrollment", self.enrollment, ("training_class.organization.name",)),
            ("enrollment", self.lesson, ("title", "learner.organization.name")),
            ("enrollment", self.attendance, ("lesson.title", "learner.first_name", "learner.organization.name")),
            ("user", self.member, ("first_name", "organization.name")),
            ("user", self.learner, ("first_name", "organization.name")),
        ):
            current = type(obj)._default_manager.filter(pk=obj.pk).first()
            texts = {reduce(lambda one, name: one and getattr(one, name), path.split("."), current) for path in paths}
            found.setdefault((noun, obj.pk), set()).update(texts - {None})
        return found

    @contextmanager
    def capturing(self, row):
        """Listen to the models of a row's own sources."""
        with ExitStack() as stack:
            for source, model in row.sources:
                stack.enter_context(listening(source, model))
            yield

    def words(self, body):
        """Return what a webhook gets, as rows of the table write it."""
        noun = body["type"].partition(".")[0]
        changed = f" [{', '.join(body['changed'])}]" if body["changed"] else ""
        via = self.names[body["organization"]["id"]]
        return f"#{body['sequence']} {body['type']} {kind_of(noun, body)} via {via}{changed}"


def kind_of(noun, body):
    """Return which part of an object a body has: ``whole``, ``ids`` or ``shown``, with what is wrong in it."""
    wrong = []
    if not is_previous_of(body["changed"], body["previous"]):
        wrong.append(f"previous {body['previous']}")
    leaves = {path.rpartition(".")[2] for path, _value in leaves_of(body["data"])}
    if leaves <= {"id", "external_id", "order_id"}:
        kind = "ids"
    elif body["actor"] == {"kind": "api", "id": None}:
        kind = "shown"
        wrong += [f"fields {sorted(body['data'])}"] * (body["data"].keys() != SHOWN[noun])
        wrong += ["correlation_id"] * ("correlation_id" in body)
    else:
        kind = "whole"
        wrong += [f"without {PROOF[noun]}"] * (PROOF[noun] not in body["data"])
    return " with ".join([kind, *wrong])


def leaves_of(value, path=""):
    """Yield the paths of all values in nested ones, with the values."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, one in items:
            yield from leaves_of(one, f"{path}.{name}" if path else str(name))
    else:
        yield path, value


def is_previous_of(changed, previous):
    """Return whether the old values are those of the changed fields, and no others."""
    paths = {path for path, _value in leaves_of(previous)}
    return all(any(f"{path}.".startswith(f"{name}.") for path in paths) for name in changed) and all(
        any(f"{path}.".startswith(f"{name}.") for name in changed) for path in paths
    )
