"""Any single change that a payload shows is exactly one event, which names the field and has its old value.

Each field is changed by a save, a form, the REST framework, a queryset and a bulk update, and each list of the object in its
ways. A second, unobserved change comes before, so that objects are found completed, cancelled, expired and so on.
"""

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from example_project.training import models
from example_project.training.factories import (
    AchievementFactory,
    ActivityFactory,
    ClassEnrollmentFactory,
    ClassroomFactory,
    CompanyFactory,
    CourseAssignmentFactory,
    CourseFactory,
    CourseFeedbackFactory,
    DepartmentFactory,
    OrganizationFactory,
    SubscriptionAssignmentFactory,
    SubscriptionProfileFactory,
    TrainingClassFactory,
    UserFactory,
    VoucherFactory,
)
from tests.catalogue import temporary_type
from tests.changes import check_all, check_edit, edit_relation
from tests.factories import WebhookFactory
from tests.integration.capture.talks import EVENT_TYPES, TALK
from tests.testapp.models import DatedAssignment, Plaque, Talk
from tms_webhooks import sources
from tms_webhooks.catalogue import EventType
from tms_webhooks.sources.registry import sources_of

# A class ends after its start, whichever of both changes.
ENDS = [datetime(2100, 1, 1, tzinfo=UTC) + timedelta(days=days) for days in (0, 500, 900)]


@pytest.fixture
def organization():
    """An organization that hears of everything, with two of each kind of object."""
    organization = OrganizationFactory()
    WebhookFactory(organization=organization, events=["*"])
    users = UserFactory.create_batch(3, organization=organization)
    CompanyFactory.create_batch(2, organization=organization)
    AchievementFactory.create_batch(2, organization=organization)
    ClassroomFactory.create_batch(2, organization=organization)
    DepartmentFactory.create_batch(2, organization=organization)
    for user, course in zip(users, CourseFactory.create_batch(2, organization=organization), strict=False):
        TrainingClassFactory(organization=organization, course=course, end_at=ENDS[0])
        profile = SubscriptionProfileFactory(organization=organization)
        SubscriptionAssignmentFactory(profile=profile, user=user)
    for name in ("Student", "Teacher", "Author"):
        models.Role.objects.create(name=name)
    return organization


def first(model):
    return lambda _user: model.objects.order_by("pk").first()


def class_with_sessions(_user):
    training_class = models.TrainingClass.objects.first()
    training_class.session_times.create(start_at=ENDS[0], end_at=ENDS[1])
    return training_class


# A source with what makes one of its objects, given a user, and the values of columns that a constraint limits.
OBJECTS = [
    (sources.ClassSource, class_with_sessions, {"end_at": ENDS}),
    (
        sources.EnrollmentSource,
        lambda user: ClassEnrollmentFactory(training_class=models.TrainingClass.objects.first(), user=user),
        {},
    ),
    (
        sources.CourseAssignmentSource,
        lambda user: CourseAssignmentFactory(course=models.Course.objects.first(), user=user),
        {},
    ),
    (sources.SubscriptionSource, first(models.SubscriptionAssignment), {}),
    (sources.UserSource, lambda user: user, {}),
    (
        sources.AchievementSource,
        lambda user: models.Achievement.objects.first().award(user, at=ENDS[0] - timedelta(36_500)),
        {},
    ),
    (
        sources.VoucherSource,
        lambda user: VoucherFactory(organization=user.organization, course=models.Course.objects.first()),
        {},
    ),
    (sources.CourseSource, first(models.Course), {}),
    (sources.ClassroomSource, first(models.Classroom), {}),
    (sources.CompanySource, first(models.Company), {}),
    (sources.OrganizationSource, first(models.Organization), {}),
    (sources.ProfileSource, first(models.SubscriptionProfile), {}),
    (sources.DepartmentSource, first(models.Department), {}),
]


@pytest.mark.parametrize("source_class, make, values", OBJECTS, ids=[one.noun.name for one, *_rest in OBJECTS])
def test_of_each_noun(organization, source_class, make, values):
    obj = make(models.User.objects.filter(organization=organization).order_by("pk").first())
    (source,) = (one for one in sources_of(type(obj)) if type(one).__mro__[1] is source_class)

    check_all(source, obj, **values)


@pytest.mark.parametrize("of_class", [True, False], ids=["class", "course"])
def test_of_feedback(organization, of_class):
    factory = ClassEnrollmentFactory if of_class else CourseAssignmentFactory
    course = models.Course.objects.first()
    kept = {"training_class": models.TrainingClass.objects.first()} if of_class else {"course": course}
    users = models.User.objects.filter(organization=organization)
    parents = [factory(user=user, **kept) for user in users[:2]]
    of = ("class_enrollment", "course_assignment")
    activity, _other = ActivityFactory.create_batch(2, course=course)
    feedback = CourseFeedbackFactory(
        course=course, user=users[0], activity=activity, positive=False, **{of[not of_class]: parents[0]}
    )
    (source,) = sources_of(models.CourseFeedback)

    # What the model's constraints allow.
    keys = {of[not of_class]: [parent.pk for parent in parents], of[of_class]: [None]}
    check_all(source, feedback, **keys, positive=[False])


class DatedAssignments(sources.CourseAssignmentSource):
    fields = {
        "assignment_status": "state",
        "started_at": "started_on",
        "completed_at": "completed_on",
        "expires_at": "expires_on",
        "progress": "percent",
    }


def test_of_an_assignment_with_days_and_words(listen, organization):
    source = listen(DatedAssignments, DatedAssignment)
    assignment = DatedAssignment.objects.create(
        user=models.User.objects.filter(organization=organization)[0], course=models.Course.objects.first()
    )

    check_all(source, assignment, state=["active", "cancelled", None])


class Talks(sources.Source):
    noun = TALK
    fields = {"speaker_ids": "speakers", "kindred_ids": "kindred", "prize_ids": "prizes"}
    # Only an update is folded into another: `set()` removes members, and adds others.
    rules = (sources.AnyOtherChange("talk.updated"), sources.Deleted("talk.deleted"))


def test_of_lists_of_a_hosts_own(listen, organization):
    source = listen(Talks, Talk)
    talk, _other = (Talk.objects.create(organization=organization, title=title) for title in ("Lists", "Sets"))
    for code in ("A, the first", 'B "quoted"', "Ü"):
        Plaque.objects.create(code=code, organization=organization, title=code)

    with ExitStack() as stack:
        for event_type in (*EVENT_TYPES, EventType("talk.updated", TALK, "A talk changed.")):
            stack.enter_context(temporary_type(event_type))
        one, two = sorted(talk.speakers.model._default_manager.values_list("pk", flat=True))[:2]
        add, replace = (
            partial(edit_relation, path="speakers", verb=verb, keys={key}) for verb, key in (("add", one), ("set", two))
        )
        check_edit(source, talk, add, "speaker_ids", replace)
        check_all(source, talk)
