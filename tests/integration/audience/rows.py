"""The rows of the table: what changes and how, and what each webhook gets of it.

An expected line names number, type, part of the object, organization and changed fields:
``#2 class.updated whole via old [name]``. Webhooks that are not named get nothing. Each event of a change has its number.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from django.db import transaction
from django.utils import timezone

from example_project.training.choices import ConfirmationStatus
from example_project.training.factories import ClassEnrollmentFactory, TrainingClassFactory
from example_project.training.models import ClassEnrollment, Role, TrainingClass
from tests.integration.capture.lessons import LearnersLessons, Lessons, LessonsOfSeries, OwnedLessons
from tests.testapp.models import Attendance, Lesson, Series
from tms_webhooks import reconciliation, sources
from tms_webhooks.outbox import emit


class Row(NamedTuple):
    """One row.

    - ``name``: the change, as a sentence
    - ``change``: makes it, given the `Cast`
    - ``expected``: the lines, by names of webhooks
    - ``nouns``: those of the objects that the row is about
    - ``sources``: pairs of a source and a model that it needs
    - ``fails``: a reason for each question that today's code fails
    """

    name: str
    change: Callable[[Any], object]
    expected: Mapping[str, str | Sequence[str]]
    nouns: Sequence[str]
    sources: Sequence[tuple[Any, Any]] = ()
    fails: Mapping[str, str] = {}

    @property
    def lines(self):
        """The expected lines of each webhook that gets anything."""
        found = {}
        for names, lines in self.expected.items():
            for name in names.split():
                assert name not in found, f"{self.name}: {name} is named twice"
                found[name] = [lines] if isinstance(lines, str) else list(lines)
        return found


def save(obj, **values):
    obj = type(obj)._default_manager.get(pk=obj.pk)
    for name, value in values.items():
        setattr(obj, name, value)
    obj.save()


def update(obj, **values):
    type(obj)._default_manager.filter(pk=obj.pk).update(**values)


def bulk_update(obj, **values):
    obj = type(obj)._default_manager.get(pk=obj.pk)
    for name, value in values.items():
        setattr(obj, name, value)
    type(obj)._default_manager.bulk_update([obj], list(values))


def delete(obj):
    type(obj)._default_manager.get(pk=obj.pk).delete()


def delete_all(obj):
    type(obj)._default_manager.filter(pk=obj.pk).delete()


WAYS = {"save()": save, "update()": update, "bulk_update()": bulk_update}
DELETIONS = {"delete()": delete, "delete() of a queryset": delete_all}


def steps(*changes):
    """Return a change that makes these ones, each settled before the next."""

    def change(cast):
        for one in changes:
            one(cast)
            cast.settle()

    return change


def together(*changes):
    """Return a change that makes these ones in one transaction."""

    def change(cast):
        with transaction.atomic():
            for one in changes:
                one(cast)

    return change


def unsettled(*changes):
    """Return a change that makes these ones before a worker does anything."""

    def change(cast):
        for one in changes:
            one(cast)

    return change


def new_class(cast, **values):
    return TrainingClassFactory(organization=cast.old, course=cast.course, **values)


def new_classes_in_bulk(cast):
    TrainingClass.objects.bulk_create([TrainingClassFactory.build(organization=cast.old, course=cast.course)])


def created_and_moved(cast):
    save(new_class(cast), organization=cast.new)


PARTS, NUMBERS, DROPS, VALUES, ALONE = "parts", "numbers", "drops", "values", "alone"
"""The questions that are asked of each row."""

EACH_SIDE = {NUMBERS: "the sides of a move are events with numbers of their own"}
EACH_OWNER = {NUMBERS: "each owner counts for itself"}

WRONG_ALONE = {ALONE: "the same is wrong where it alone subscribes"}


# One owner

ONE_OWNER = [
    Row(
        "a class is created by save()",
        new_class,
        {"old west top": "#1 class.scheduled whole via old"},
        ["class"],
    ),
    Row(
        "a class is created by bulk_create()",
        new_classes_in_bulk,
        {"old west top": "#1 class.scheduled whole via old"},
        ["class"],
    ),
    *(
        Row(
            f"a class is renamed by {name}",
            lambda cast, way=way: way(cast.training_class, name="Now Algebra"),
            {"old west top": "#1 class.updated whole via old [name]"},
            ["class"],
        )
        for name, way in WAYS.items()
    ),
    *(
        Row(
            f"a class is cancelled by {name}",
            lambda cast, way=way: way(cast.training_class, confirmation_status_id=ConfirmationStatus.CANCELLED),
            {"old west top": "#1 class.cancelled whole via old [status]"},
            ["class"],
        )
        for name, way in WAYS.items()
    ),
    *(
        Row(
            f"a class is deleted by {name}",
            lambda cast, way=way: way(cast.class_of_new),
            {"new east top": "#1 class.deleted whole via new"},
            ["class"],
        )
        for name, way in DELETIONS.items()
    ),
    *(
        Row(
            f"a lesson is hidden, as by a soft deletion, by {name}",
            lambda cast, way=way: way(cast.lesson, role="hidden"),
            {"old west top": "#1 class.deleted whole via old"},
            ["class"],
            [(LearnersLessons, Lesson)],
        )
        for name, way in WAYS.items()
    ),
    Row(
        "the host emits an event of its own about a class",
        lambda cast: emit("class.rescheduled", cast.training_class),
        {"old west top": "#1 class.rescheduled whole via old"},
        ["class"],
    ),
    *(
        Row(
            f"a class is renamed and moves to another branch of the tree by {name}",
            lambda cast, way=way: way(cast.training_class, name="Now Algebra", organization=cast.new),
            {
                "old west": "#1 class.removed ids via old",
                "new east": "#1 class.added whole via new",
                "top": "#1 class.updated whole via new [name, organization.id]",
            },
            ["class"],
            fails=EACH_SIDE,
        )
        for name, way in WAYS.items()
    ),
    Row(
        "a class moves within what a parent includes",
        lambda cast: save(cast.training_class, name="Now Algebra", organization=cast.second),
        {
            "old": "#1 class.removed ids via old",
            "second": "#1 class.added whole via second",
            "west top": "#1 class.updated whole via second [name, organization.id]",
        },
        ["class"],
        fails=EACH_SIDE,
    ),
    Row(
        "a class moves and comes back later",
        steps(
            lambda cast: save(cast.training_class, organization=cast.new),
            lambda cast: save(cast.training_class, organization=cast.old),
        ),
        {
            "old west": ["#1 class.removed ids via old", "#2 class.added whole via old"],
            "new east": ["#1 class.added whole via new", "#2 class.removed ids via new"],
            "top": [
                "#1 class.updated whole via new [organization.id]",
                "#2 class.updated whole via old [organization.id]",
            ],
        },
        ["class"],
        fails=EACH_SIDE,
    ),
    Row(
        "a class moves there and back in one transaction",
        together(
            lambda cast: save(cast.training_class, organization=cast.new),
            lambda cast: save(cast.training_class, organization=cast.old),
        ),
        {},
        ["class"],
        fails={PARTS: "each side of each move is an event, and none is folded"},
    ),
    Row(
        "a class moves, and is renamed in the same transaction",
        together(
            lambda cast: save(cast.training_class, organization=cast.new),
            lambda cast: save(cast.training_class, name="Now Algebra"),
        ),
        {
            "old west": "#1 class.removed ids via old",
            "new east": "#1 class.added whole via new",
            "top": "#1 class.updated whole via new [name, organization.id]",
        },
        ["class"],
        fails={
            **WRONG_ALONE,
            PARTS: "those that see both sides get the rename as an event of its own",
            VALUES: "where others see both sides, the new owner gets the name of before, and then the other one",
        },
    ),
    Row(
        "a class is renamed, and moves in the same transaction",
        together(
            lambda cast: save(cast.training_class, name="Now Algebra"),
            lambda cast: save(cast.training_class, organization=cast.new),
        ),
        {
            "old west": "#1 class.removed ids via old",
            "new east": "#1 class.added whole via new",
            "top": "#1 class.updated whole via new [name, organization.id]",
        },
        ["class"],
        fails={**WRONG_ALONE, PARTS: "a move is folded into no event, so that the first owner gets the new name"},
    ),
    Row(
        "a class is created, and moves in the same transaction",
        together(created_and_moved),
        {"new east top": "#1 class.scheduled whole via new"},
        ["class"],
        fails={
            **WRONG_ALONE,
            PARTS: "a move is folded into no event, so that an organization gets a class that it never had",
        },
    ),
]


# Owner and learner


def new_enrollment(cast):
    ClassEnrollmentFactory(training_class=cast.training_class, user=cast.member_of_transfer)


def new_enrollments_in_bulk(cast):
    values = {"training_class": cast.training_class, "user": cast.member_of_transfer}
    ClassEnrollment.objects.bulk_create([ClassEnrollmentFactory.build(**values)])


OWNER_AND_LEARNER = [
    *(
        Row(
            f"an enrollment is created by {name}",
            change,
            {"old west top transfer campus": "#1 enrollment.enrolled whole via old"},
            ["enrollment"],
        )
        for name, change in {"save()": new_enrollment, "bulk_create()": new_enrollments_in_bulk}.items()
    ),
    *(
        Row(
            f"an enrollment is graded by {name}",
            lambda cast, way=way: way(cast.enrollment, grade=7),
            {"old west top learners campus": "#1 enrollment.updated whole via old [grade]"},
            ["enrollment"],
        )
        for name, way in WAYS.items()
    ),
    *(
        Row(
            f"an enrollment is deleted by {name}",
            lambda cast, way=way: way(cast.enrollment),
            {"old west top learners campus": "#1 enrollment.deleted whole via old"},
            ["enrollment"],
        )
        for name, way in DELETIONS.items()
    ),
    Row(
        "the host emits an event of its own about an enrollment",
        lambda cast: emit("enrollment.approved", cast.enrollment),
        {"old west top learners campus": "#1 enrollment.approved whole via old"},
        ["enrollment"],
    ),
    *(
        Row(
            f"an enrollment gets a learner of another organization by {name}",
            lambda cast, way=way: way(cast.enrollment, user=cast.other_learner, grade=7),
            {
                "learners": "#1 enrollment.removed ids via old",
                "transfer": "#1 enrollment.added whole via old",
                "old west top campus": "#1 enrollment.updated whole via old [grade, user.id, learner_organization.id]",
            },
            ["enrollment"],
            fails=EACH_SIDE,
        )
        for name, way in WAYS.items()
    ),
    *(
        Row(
            f"an enrollment goes to a class of another organization by {name}",
            lambda cast, way=way: way(cast.enrollment, training_class=cast.class_of_new, grade=7),
            {
                "old west": "#1 enrollment.removed ids via old",
                "new east": "#1 enrollment.added whole via new",
                "top learners campus": "#1 enrollment.updated whole via new [grade, class.id, organization.id]",
            },
            ["enrollment"],
            fails=EACH_SIDE,
        )
        for name, way in WAYS.items()
    ),
    *(
        Row(
            f"the learner of an enrollment moves by {name}",
            steps(
                lambda cast: save(cast.enrollment, grade=5),
                lambda cast, way=way: way(cast.learner, organization=cast.transfer),
            ),
            {
                "learners": [
                    "#1 enrollment.updated whole via old [grade]",
                    "#2 enrollment.removed ids via old",
                ],
                "transfer": "#2 enrollment.added whole via old",
                "old west top campus": "#1 enrollment.updated whole via old [grade]",
            },
            ["enrollment"],
            fails=EACH_SIDE,
        )
        for name, way in WAYS.items()
    ),
    *(
        Row(
            f"the class of an enrollment moves by {name}",
            steps(
                lambda cast: save(cast.enrollment, grade=5),
                lambda cast, way=way: way(cast.training_class, organization=cast.new),
                lambda cast: save(cast.enrollment, grade=6),
            ),
            {
                "old west": [
                    "#1 enrollment.updated whole via old [grade]",
                    "#2 enrollment.removed ids via old",
                ],
                "new east": ["#2 enrollment.added whole via new", "#3 enrollment.updated whole via new [grade]"],
                "top learners campus": [
                    "#1 enrollment.updated whole via old [grade]",
                    "#3 enrollment.updated whole via new [grade]",
                ],
            },
            ["enrollment"],
            fails=EACH_SIDE,
        )
        for name, way in WAYS.items()
    ),
    Row(
        "the class of an enrollment moves there and back in one transaction",
        together(
            lambda cast: save(cast.training_class, organization=cast.new),
            lambda cast: save(cast.training_class, organization=cast.old),
        ),
        {},
        ["class", "enrollment"],
        fails={PARTS: "each of both moves has a job, and each side of each move is an event"},
    ),
    Row(
        "the learner of an enrollment moves there and back in one transaction",
        together(
            lambda cast: save(cast.learner, organization=cast.transfer),
            lambda cast: save(cast.learner, organization=cast.learners),
        ),
        {},
        ["user", "enrollment"],
        fails={PARTS: "each of both moves has a job, and each side of each move is an event"},
    ),
    Row(
        "an enrollment changes its class there and back in one transaction",
        together(
            lambda cast: save(cast.enrollment, training_class=cast.class_of_new),
            lambda cast: save(cast.enrollment, training_class=cast.training_class),
        ),
        {},
        ["enrollment"],
        fails={PARTS: "each side of each move is an event, and none is folded"},
    ),
]


# An object that changes before the job of its parent comes to it


def paid(cast, text="Now an invoice"):
    save(cast.assignment, payment_type=text)


PAID = "#1 course_assignment.updated whole via old [payment_type]"

BEFORE_THE_JOB = [
    Row(
        "an assignment gets a learner of a third organization before the job of its learner's move",
        steps(
            paid,
            unsettled(
                lambda cast: save(cast.member, organization=cast.new),
                lambda cast: save(cast.assignment, user=cast.member_of_transfer),
            ),
        ),
        {
            "old west top": [PAID, "#2 course_assignment.removed ids via old"],
            "transfer campus": "#2 course_assignment.added whole via transfer",
        },
        ["course_assignment"],
        fails={
            PARTS: "the learner's new organization gets the removal, which never had the object, and the first one none",
        },
    ),
    Row(
        "an assignment is saved before the job of its learner's move",
        steps(
            paid,
            unsettled(
                lambda cast: save(cast.member, organization=cast.new),
                lambda cast: paid(cast, "Now a voucher"),
            ),
        ),
        {
            "old west": [PAID, "#2 course_assignment.removed ids via old"],
            "new east": "#2 course_assignment.added whole via new",
            "top": [PAID, "#2 course_assignment.updated whole via new [payment_type]"],
        },
        ["course_assignment"],
        fails={PARTS: "the new organization gets an update of an object that it never had, before it is added"},
    ),
    Row(
        "the learner of an assignment moves twice before a job",
        steps(
            paid,
            unsettled(
                lambda cast: save(cast.member, organization=cast.new),
                lambda cast: save(cast.member, organization=cast.transfer),
            ),
        ),
        {
            "old west top": [PAID, "#2 course_assignment.removed ids via old"],
            "transfer campus": "#2 course_assignment.added whole via transfer",
        },
        ["course_assignment"],
        fails={**WRONG_ALONE, PARTS: "the organization between gets a removal of an object that it never had"},
    ),
]


# Several owners


class Visits(sources.EnrollmentSource):
    """A lesson as an enrollment of its learner, with the owners of its series."""

    owner = "series.organizations"
    learner = "learner.organization"
    fields = {
        "status": sources.Constant(60),
        "user": None,
        "class": None,
        "user.id": sources.Constant(1),
        "class.id": sources.Constant(1),
    }
    custom = {"topic": "title"}


ENROLLED = {"course": None, "status": sources.Constant("Enroll"), "completion_status": None}


class AttendancesOfSeries(sources.EnrollmentSource):
    owner = "lesson.series.organizations"
    learner = "learner.organization"
    fields = {**ENROLLED, "class": "lesson", "user": "learner"}


class AttendancesOfOwners(sources.EnrollmentSource):
    owner = "lesson.owners"
    learner = "learner.organization"
    fields = {**ENROLLED, "class": "lesson", "user": "learner"}


BY_SERIES, BY_LIST = [(LessonsOfSeries, Lesson)], [(OwnedLessons, Lesson)]
WITH_ATTENDANCES = [*BY_SERIES, (AttendancesOfSeries, Attendance)]
WITH_ATTENDANCES_BY_LIST = [*BY_LIST, (AttendancesOfOwners, Attendance)]
VISITS = [(Visits, Lesson)]

FOR_EACH_OWNER = "a parent gets an event of each owner below it"
DROPPED = "a webhook that sees it through two owners gets a number twice"
EVENT_OF_EACH = {PARTS: FOR_EACH_OWNER, DROPS: DROPPED}
UPDATED_VISIT = "#{} enrollment.updated whole via {} [custom.topic]"
THROUGH_ANOTHER = "a parent that still sees it through another owner gets a removal"


def retitled(cast, title="Now Geometry", way=save):
    way(cast.lesson, title=title)


def new_lesson(cast):
    Lesson.objects.create(pk=9_100, title="Is new", series=cast.series, learner=cast.learner)


def owners_of_series(cast, *organizations):
    """Change the list of owners by another row on the path."""
    Series.objects.get(pk=cast.series.pk).organizations.set(organizations)


def owners_of_lesson(cast, *organizations):
    """Change the list of owners in the linking table."""
    Lesson.objects.get(pk=cast.lesson.pk).owners.set(organizations)


SEVERAL_OWNERS = [
    *(
        Row(
            f"a lesson of two owners is created by {name}",
            change,
            {"old west top": "#1 class.scheduled whole via old", "second": "#1 class.scheduled whole via second"},
            ["class"],
            BY_SERIES,
            fails=EVENT_OF_EACH,
        )
        for name, change in {
            "save()": new_lesson,
            "bulk_create()": lambda cast: Lesson.objects.bulk_create(
                [Lesson(pk=9_100, title="Is new", series=cast.series)]
            ),
        }.items()
    ),
    *(
        Row(
            f"a lesson of two owners is renamed by {name}",
            lambda cast, way=way: retitled(cast, way=way),
            {
                "old west top": "#1 class.updated whole via old [name]",
                "second": "#1 class.updated whole via second [name]",
            },
            ["class"],
            BY_SERIES,
            fails=EVENT_OF_EACH,
        )
        for name, way in WAYS.items()
    ),
    *(
        Row(
            f"a lesson of two owners is deleted by {name}",
            lambda cast, way=way: way(cast.lesson),
            {"old west top": "#1 class.deleted whole via old", "second": "#1 class.deleted whole via second"},
            ["class"],
            BY_SERIES,
            fails=EVENT_OF_EACH,
        )
        for name, way in DELETIONS.items()
    ),
    Row(
        "the host emits an event of its own for one of two owners, and then the lesson is renamed",
        steps(lambda cast: emit("class.rescheduled", cast.lesson, organization=cast.old), retitled),
        {
            "old west top": ["#1 class.rescheduled whole via old", "#2 class.updated whole via old [name]"],
            "second": "#2 class.updated whole via second [name]",
        },
        ["class"],
        BY_SERIES,
        fails={**EVENT_OF_EACH, **EACH_OWNER},
    ),
    Row(
        "the list of owners changes in the lesson's own row",
        lambda cast: save(cast.lesson, series=cast.series_of_new, title="Now Geometry"),
        {
            "second": "#1 class.removed ids via second",
            "new east": "#1 class.added whole via new",
            "old west top": "#1 class.updated whole via old [name]",
        },
        ["class"],
        BY_SERIES,
        fails={DROPS: DROPPED, **WRONG_ALONE, PARTS: THROUGH_ANOTHER},
    ),
    Row(
        "the list of owners changes there and back in one transaction",
        together(
            lambda cast: save(cast.lesson, series=cast.series_of_new),
            lambda cast: save(cast.lesson, series=cast.series),
        ),
        {},
        ["class"],
        BY_SERIES,
        fails={DROPS: DROPPED, PARTS: "each side of each move is an event, and none is folded"},
    ),
    Row(
        "the list of owners changes in the linking table, between two changes of the lesson",
        steps(
            retitled,
            lambda cast: owners_of_lesson(cast, cast.second, cast.new),
            lambda cast: retitled(cast, "Then Geometry"),
        ),
        {
            "old": ["#1 class.updated whole via old [name]", "#2 class.removed ids via old"],
            "second": ["#1 class.updated whole via second [name]", "#3 class.updated whole via second [name]"],
            "new east": ["#2 class.added whole via new", "#3 class.updated whole via new [name]"],
            "west top": ["#1 class.updated whole via old [name]", "#3 class.updated whole via second [name]"],
        },
        ["class"],
        BY_LIST,
        fails={DROPS: DROPPED, **WRONG_ALONE, PARTS: f"{FOR_EACH_OWNER}, and {THROUGH_ANOTHER}", **EACH_OWNER},
    ),
    Row(
        "an owner is added to the linking table and removed in one transaction",
        together(
            lambda cast: cast.lesson.owners.add(cast.new),
            lambda cast: cast.lesson.owners.remove(cast.new),
        ),
        {},
        ["class"],
        BY_LIST,
        fails={PARTS: "each change of the list is an event, and none is folded"},
    ),
    Row(
        "the list of owners changes by another row on the path",
        steps(retitled, lambda cast: owners_of_series(cast, cast.old, cast.new)),
        {
            "old west top": "#1 class.updated whole via old [name]",
            "second": ["#1 class.updated whole via second [name]", "#2 class.removed ids via second"],
            "new east": "#2 class.added whole via new",
        },
        ["class"],
        BY_SERIES,
        fails={
            DROPS: DROPPED,
            **WRONG_ALONE,
            PARTS: f"{FOR_EACH_OWNER}, and no change of another row's list moves an object",
        },
    ),
    *(
        Row(
            f"what hangs on a lesson moves where its list of owners changes {where}",
            change,
            {"second": "#1 enrollment.removed ids via second", "new east": "#1 enrollment.added whole via new"},
            ["enrollment"],
            found,
            fails=reasons,
        )
        for where, change, found, reasons in (
            (
                "in its own row",
                lambda cast: save(cast.lesson, series=cast.series_of_new),
                WITH_ATTENDANCES,
                {PARTS: THROUGH_ANOTHER, DROPS: DROPPED},
            ),
            (
                "in the linking table",
                lambda cast: owners_of_lesson(cast, cast.old, cast.new),
                WITH_ATTENDANCES_BY_LIST,
                {**WRONG_ALONE, PARTS: "a change of the list itself moves nothing along"},
            ),
            (
                "by another row on the path",
                lambda cast: owners_of_series(cast, cast.old, cast.new),
                WITH_ATTENDANCES,
                {**WRONG_ALONE, PARTS: "a change of the list itself moves nothing along"},
            ),
        )
    ),
    Row(
        "the learner of what has two owners moves",
        lambda cast: save(cast.pupil, organization=cast.transfer),
        {"learners": "#1 enrollment.removed ids via old", "transfer": "#1 enrollment.added whole via old"},
        ["enrollment"],
        WITH_ATTENDANCES,
        fails=EACH_SIDE,
    ),
    Row(
        "a learner of another organization gets what has two owners",
        lambda cast: save(cast.lesson, learner=cast.other_learner, title="Now Geometry"),
        {
            "learners": "#1 enrollment.removed ids via old",
            "transfer": "#1 enrollment.added whole via old",
            "old west top campus": "#1 enrollment.updated whole via old [learner_organization.id, custom.topic]",
            "second": "#1 enrollment.updated whole via second [learner_organization.id, custom.topic]",
        },
        ["enrollment"],
        VISITS,
        fails=EVENT_OF_EACH,
    ),
    Row(
        "a learner's organization and parents see a visit through one owner, and then through another",
        steps(
            lambda cast: save(cast.lesson_of_old, title="Now Geometry"),
            lambda cast: save(cast.lesson_of_old, title="Now Algebra"),
            lambda cast: save(cast.lesson_of_old, series=cast.series_of_second),
            lambda cast: save(cast.lesson_of_old, title="Then Logic"),
        ),
        {
            "old": [
                UPDATED_VISIT.format(1, "old"),
                UPDATED_VISIT.format(2, "old"),
                "#3 enrollment.removed ids via old",
            ],
            "second": ["#3 enrollment.added whole via second", UPDATED_VISIT.format(4, "second")],
            "west top learners campus": [
                UPDATED_VISIT.format(1, "old"),
                UPDATED_VISIT.format(2, "old"),
                UPDATED_VISIT.format(4, "second"),
            ],
        },
        ["enrollment"],
        VISITS,
        fails={**WRONG_ALONE, PARTS: THROUGH_ANOTHER, DROPS: DROPPED},
    ),
    Row(
        "a visit of two owners changes twice",
        steps(
            lambda cast: retitled(cast, "Now Geometry"),
            lambda cast: retitled(cast, "Then Geometry"),
        ),
        {
            "old west top learners campus": [UPDATED_VISIT.format(1, "old"), UPDATED_VISIT.format(2, "old")],
            "second": [UPDATED_VISIT.format(1, "second"), UPDATED_VISIT.format(2, "second")],
        },
        ["enrollment"],
        VISITS,
        fails=EVENT_OF_EACH,
    ),
]


# What the objects of others show


class Public(sources.CourseSource):
    owner = None


def renamed(name):
    return lambda cast: save(cast.course, name=name)


def unsubscribe(cast, name="stall"):
    cast.webhooks[name].subscriptions.all().delete()


def shown(number, event_type, *changed):
    """Return what each organization gets that shows an object, and the parent of two of them once."""
    fields = f" [{', '.join(changed)}]" if changed else ""
    names = ("shop", "store", "stall", "market")
    return {one: f"#{number} {event_type} shown via {one}{fields}" for one in names}


SHOWN = [
    *(
        Row(
            f"a course that three organizations show is renamed by {name}",
            lambda cast, way=way: way(cast.course, name="Now Cooking"),
            {"old west top": "#1 course.updated whole via old [name]", **shown(1, "course.updated", "name")},
            ["course"],
        )
        for name, way in WAYS.items()
    ),
    Row(
        "a user whom others show gets a name and a number that they don't show",
        steps(
            lambda cast: save(cast.teacher, phone="+31 20 555 0101"),
            lambda cast: save(cast.teacher, phone="+31 20 555 0102", first_name="Nowell"),
        ),
        {
            "old west top": [
                "#1 user.updated whole via old [phone]",
                "#2 user.updated whole via old [first_name, phone]",
            ],
            **shown(2, "user.updated", "first_name"),
        },
        ["user"],
    ),
    Row(
        "a user whom others show is renamed, and deleted",
        steps(lambda cast: save(cast.teacher, first_name="Nowell"), lambda cast: delete(cast.teacher)),
        {
            "old west top": ["#1 user.updated whole via old [first_name]", "#2 user.deleted whole via old"],
            **{
                name: [line, f"#2 user.deleted ids via {name}"]
                for name, line in shown(1, "user.updated", "first_name").items()
            },
        },
        ["user"],
    ),
    Row(
        "an organization begins to show a course between two of its changes",
        steps(
            renamed("Now Cooking"),
            lambda cast: TrainingClassFactory(organization=cast.new, course=cast.course),
            renamed("Then Cooking"),
        ),
        {
            "old west top": [f"#{one} course.updated whole via old [name]" for one in (1, 2)],
            "new": "#2 course.updated shown via new [name]",
            "east": "#2 course.updated shown via east [name]",
            **{
                name: [f"#{one} course.updated shown via {name} [name]" for one in (1, 2)]
                for name in ("shop", "store", "stall", "market")
            },
        },
        ["course"],
    ),
    Row(
        "a shown course is renamed and moves, while one of those that show it unsubscribes",
        unsettled(
            lambda cast: save(cast.course, name="Now Cooking", organization=cast.new),
            unsubscribe,
        ),
        {
            "old west": "#1 course.removed ids via old",
            "new east": "#1 course.added whole via new",
            "top": "#1 course.updated whole via new [name, organization.id]",
            **{
                name: f"#1 course.updated shown via {name} [name, organization.id]"
                for name in ("shop", "store", "market")
            },
        },
        ["course"],
        fails=EACH_SIDE,
    ),
    Row(
        "a former owner that shows a course gets its removal, and then its changes",
        steps(
            new_class,
            lambda cast: save(cast.course, organization=cast.new),
            lambda cast: save(cast.course, description="Now described"),
        ),
        {
            "old": ["#1 course.removed ids via old", "#2 course.updated shown via old [description]"],
            "west": ["#1 course.removed ids via old", "#2 course.updated shown via west [description]"],
            "new east": ["#1 course.added whole via new", "#2 course.updated whole via new [description]"],
            "top": [
                "#1 course.updated whole via new [organization.id]",
                "#2 course.updated whole via new [description]",
            ],
            **{
                name: [
                    f"#1 course.updated shown via {name} [organization.id]",
                    f"#2 course.updated shown via {name} [description]",
                ]
                for name in ("shop", "store", "stall", "market")
            },
        },
        ["course"],
        fails={PARTS: "a former owner that shows it gets the removal and a copy of the same change"},
    ),
    Row(
        "a shown course moves there and back in one transaction",
        together(
            lambda cast: save(cast.course, organization=cast.new),
            lambda cast: save(cast.course, organization=cast.old),
        ),
        {},
        ["course"],
        fails={PARTS: "each side of each move is an event, and none is folded"},
    ),
    Row(
        "the host emits an event of its own about a course that others show",
        lambda cast: emit("course.updated", cast.course, previous={"name": "Was Baking"}),
        {"old west top": "#1 course.updated whole via old [name]", **shown(1, "course.updated", "name")},
        ["course"],
        fails={ALONE: "an event of the host's own is not recorded where the owner doesn't subscribe"},
    ),
    *(
        Row(
            f"what belongs to no organization is renamed by {name}",
            lambda cast, way=way: way(cast.public, name="Now public"),
            {name: f"#1 course.updated shown via {name} [name]" for name in ("shop", "store", "market")},
            ["course"],
            [(Public, Role)],
        )
        for name, way in WAYS.items()
    ),
]


# No organization, at first or from now on


def sweep(_cast):
    reconciliation.settle_ownerless(timezone.now())


def host(name):
    return lambda cast: save(cast.homeless, host=name and getattr(cast, name))


NO_ORGANIZATION = [
    Row(
        "a lesson without an organization is created and renamed",
        lambda _cast: save(Lesson.objects.create(pk=9_100, title="Is new"), title="Now new"),
        {},
        ["class"],
        [(Lessons, Lesson)],
    ),
    Row(
        "a new lesson gets its first organization in its own row, and is renamed",
        steps(
            lambda _cast: Lesson.objects.create(pk=9_100, title="Is new"),
            lambda cast: save(Lesson(pk=9_100), host=cast.old),
            lambda _cast: save(Lesson(pk=9_100), title="Now new"),
        ),
        {"old west top": ["#1 class.scheduled whole via old", "#2 class.updated whole via old [name]"]},
        ["class"],
        [(Lessons, Lesson)],
    ),
    Row(
        "a new lesson gets its first owner in the linking table",
        steps(
            lambda _cast: Lesson.objects.create(pk=9_100, title="Is new"),
            lambda cast: Lesson.objects.get(pk=9_100).owners.add(cast.old),
        ),
        {"old west top": "#1 class.scheduled whole via old"},
        ["class"],
        BY_LIST,
    ),
    Row(
        "a new lesson gets two owners in the linking table",
        steps(
            lambda _cast: Lesson.objects.create(pk=9_100, title="Is new"),
            lambda cast: Lesson.objects.get(pk=9_100).owners.set([cast.old, cast.new]),
        ),
        {
            "old west top": "#1 class.scheduled whole via old",
            "new east": "#1 class.scheduled whole via new",
        },
        ["class"],
        BY_LIST,
        fails=EVENT_OF_EACH,
    ),
    Row(
        "a new lesson gets its first organization by another row on the path, which a sweep finds",
        steps(
            lambda cast: Lesson.objects.create(pk=9_100, title="Is new", series=cast.empty_series),
            lambda cast: cast.empty_series.organizations.set([cast.old]),
            sweep,
            sweep,
        ),
        {"old west top": "#1 class.scheduled whole via old"},
        ["class"],
        BY_SERIES,
    ),
    Row(
        "a lesson loses its last organization",
        lambda cast: save(cast.lesson, host=None, title="Now Geometry"),
        {"old west top": "#1 class.removed ids via old"},
        ["class"],
        [(Lessons, Lesson)],
    ),
    Row(
        "a user loses the last organization, and comes back to another one with what hangs on the user",
        steps(
            lambda cast: save(cast.member, organization=None),
            lambda cast: save(cast.member, organization=cast.new, first_name="Nowell"),
        ),
        {
            "old west": ["#1 user.removed ids via old", "#1 course_assignment.removed ids via old"],
            "new east": ["#2 user.added whole via new", "#2 course_assignment.added whole via new"],
            "top": [
                "#1 user.removed ids via old",
                "#1 course_assignment.removed ids via old",
                "#2 user.added whole via new",
                "#2 course_assignment.added whole via new",
            ],
        },
        ["user", "course_assignment"],
        fails={
            **WRONG_ALONE,
            PARTS: "the user is created a second time where the first event of an object without one belongs",
        },
    ),
    Row(
        "a user loses the last organization, and gets another one in the same transaction",
        together(
            lambda cast: save(cast.member, organization=None),
            lambda cast: save(cast.member, organization=cast.new),
        ),
        {
            "old west": "#1 user.removed ids via old",
            "new east": "#1 user.added whole via new",
            "top": "#1 user.updated whole via new [organization.id]",
        },
        ["user"],
        fails={**WRONG_ALONE, PARTS: "the two moves are not folded, and the user is created a second time"},
    ),
]


# A branch of the tree


NO_NUMBER = {NUMBERS: "an event of a branch has the number of the object's last event, or 0"}
NUMBER_TWICE = {**NO_NUMBER, DROPS: "the removal of a branch has the number of the event before it"}


def branch_to(name):
    return lambda cast: save(cast.branch, parent=getattr(cast, name))


BRANCHES = [
    *(
        Row(
            f"a branch with a class that has changed moves to another parent by {name}",
            steps(
                lambda cast: save(cast.class_of_branch, name="Now Ethics"),
                lambda cast, way=way: way(cast.branch, parent=cast.east),
                lambda cast: save(cast.class_of_branch, name="Then Ethics"),
            ),
            {
                "branch top": [f"#{one} class.updated whole via branch [name]" for one in (1, 3)],
                "west": ["#1 class.updated whole via branch [name]", "#2 class.removed ids via branch"],
                "east": ["#2 class.added whole via branch", "#3 class.updated whole via branch [name]"],
            },
            ["class"],
            fails=NUMBER_TWICE,
        )
        for name, way in WAYS.items()
    ),
    Row(
        "a branch moves that owns a lesson with an organization that stays",
        lambda cast: save(cast.limb, parent=cast.east),
        {"east": "#1 class.added whole via limb"},
        ["class"],
        BY_SERIES,
        fails=NO_NUMBER,
    ),
    Row(
        "a branch with learners leaves a parent that sees what they learn",
        lambda cast: save(cast.annex, parent=cast.stranger),
        {"campus": "#1 enrollment.removed ids via old", "stranger": "#1 enrollment.added whole via old"},
        ["enrollment"],
        fails=NO_NUMBER,
    ),
    Row(
        "a branch moves there and back in one transaction",
        together(branch_to("east"), branch_to("west")),
        {},
        ["class"],
        fails={PARTS: "each of both moves has jobs, of which those of the second one find the branch where it was"},
    ),
]

ROWS = [
    *ONE_OWNER,
    *OWNER_AND_LEARNER,
    *BEFORE_THE_JOB,
    *SEVERAL_OWNERS,
    *SHOWN,
    *NO_ORGANIZATION,
    *BRANCHES,
]
