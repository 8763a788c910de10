"""Any single change that a payload shows is exactly one event, which names the field and has its old value.

The changes go through a save, a queryset and a bulk update, and through each list of the object. A second, unobserved
change comes before, so that objects are found completed, cancelled, expired and so on.
"""

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import strategies as st

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
ENDS = st.integers(500, 900).map(lambda days: datetime(2100, 1, 1, tzinfo=UTC) + timedelta(days=days))


@pytest.fixture
def organization():
    """An organization that hears of everything, with two of each kind of object."""
    organization = OrganizationFactory()
    WebhookFactory(organization=organization, events=["*"])
    users = UserFactory.create_batch(3, organization=organization)
    CompanyFactory.create_batch(2, organization=organization)
    ClassroomFactory.create_batch(2, organization=organization)
    DepartmentFactory.create_batch(2, organization=organization)
    for user, course in zip(users, CourseFactory.create_batch(2, organization=organization), strict=False):
        TrainingClassFactory(organization=organization, course=course, end_at=datetime(2100, 1, 1, tzinfo=UTC))
        profile = SubscriptionProfileFactory(organization=organization)
        SubscriptionAssignmentFactory(profile=profile, user=user)
    for name in ("Student", "Teacher", "Author"):
        models.Role.objects.create(name=name)
    return organization


def source_of(model, source_class):
    return next(source for source in sources_of(model) if isinstance(source, source_class))


def test_of_a_class(organization):
    training_class = models.TrainingClass.objects.first()
    training_class.session_times.create(
        start_at=datetime(2029, 1, 1, tzinfo=UTC), end_at=datetime(2029, 1, 2, tzinfo=UTC)
    )

    check_all(source_of(models.TrainingClass, sources.ClassSource), training_class, end_at=ENDS)


def test_of_an_enrollment(organization):
    enrollment = ClassEnrollmentFactory(
        training_class=models.TrainingClass.objects.first(),
        user=models.User.objects.filter(organization=organization)[0],
    )

    check_all(source_of(models.ClassEnrollment, sources.EnrollmentSource), enrollment)


def test_of_a_course_assignment(organization):
    assignment = CourseAssignmentFactory(
        course=models.Course.objects.first(), user=models.User.objects.filter(organization=organization)[0]
    )

    check_all(source_of(models.CourseAssignment, sources.CourseAssignmentSource), assignment)


def test_of_a_subscription(organization):
    subscription = models.SubscriptionAssignment.objects.first()

    check_all(source_of(models.SubscriptionAssignment, sources.SubscriptionSource), subscription)


def test_of_a_user(organization):
    user = models.User.objects.filter(organization=organization)[0]

    check_all(source_of(models.User, sources.UserSource), user)


def test_of_an_award(organization):
    award = AchievementFactory(organization=organization).award(
        models.User.objects.filter(organization=organization)[0], at=datetime(2026, 1, 1, tzinfo=UTC)
    )

    check_all(source_of(models.UserAchievement, sources.AchievementSource), award)


def test_of_a_voucher(organization):
    voucher = VoucherFactory(organization=organization, course=models.Course.objects.first())

    check_all(source_of(models.Voucher, sources.VoucherSource), voucher)


@pytest.mark.parametrize("of_class", [True, False], ids=["class", "course"])
def test_of_feedback(organization, of_class):
    factory = ClassEnrollmentFactory if of_class else CourseAssignmentFactory
    course = models.Course.objects.first()
    kept = {"training_class": models.TrainingClass.objects.first()} if of_class else {"course": course}
    users = models.User.objects.filter(organization=organization)
    parents = [factory(user=user, **kept) for user in users[:2]]
    keys, of = st.sampled_from([parent.pk for parent in parents]), ("class_enrollment", "course_assignment")
    activity, _other = ActivityFactory.create_batch(2, course=course)
    feedback = CourseFeedbackFactory(
        course=course, user=users[0], activity=activity, positive=False, **{of[not of_class]: parents[0]}
    )

    # What the model's constraints allow.
    check_all(
        source_of(models.CourseFeedback, sources.FeedbackSource),
        feedback,
        **{of[not of_class]: keys, of[of_class]: st.none()},
        positive=st.just(value=False),
    )


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

    check_all(source, assignment, state=st.sampled_from(["active", "cancelled", None]))


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
