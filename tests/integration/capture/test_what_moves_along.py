"""What moves with an object, such as a user's course assignments and a class's roster: a job emits it, within a minute."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from example_project.training.factories import (
    ClassEnrollmentFactory,
    CourseAssignmentFactory,
    OrganizationFactory,
    TrainingClassFactory,
    UserAchievementFactory,
    UserFactory,
)
from example_project.training.models import User
from tests.factories import WebhookFactory
from tests.integration.capture.conftest import work
from tests.integration.capture.lessons import BARE, LessonsOfSeries
from tests.outbox import prune_events
from tests.testapp.models import Attendance, Lesson, Series, Speech, Talk
from tms_webhooks import moves, reconciliation, sources
from tms_webhooks.choices import JobStatus
from tms_webhooks.models import Event, Job, OwnerlessObject
from tms_webhooks.outbox.fanout import fan_out

AUDIENCES = ("owner", "learner", "both")


def recipients():
    """Return the type, the id of the object and the owner of each event."""
    rows = Event.objects.order_by("pk").values_list("type", "subject_id", "organization_id")
    return [(name, int(subject), organization) for name, subject, organization in rows]


def received(webhook, clock):
    while fan_out(clock()):
        pass
    return sorted(webhook.deliveries.values_list("event__type", flat=True))


def test_the_assignments_and_enrollments_of_a_user_who_moves(old, new, clock):
    webhooks = {
        (one, audience): WebhookFactory(organization=one, events=["*"], audience=audience)
        for one in (old, new)
        for audience in AUDIENCES
    }
    learner = UserFactory(organization=old)
    CourseAssignmentFactory(user=learner)
    elsewhere = ClassEnrollmentFactory(user=learner)
    runs_the_class = WebhookFactory(organization=elsewhere.training_class.organization, events=["*"], audience="both")
    ClassEnrollmentFactory(user=UserFactory(organization=old))
    prune_events()

    learner.organization = new
    learner.save()
    work()

    of_learners = ["course_assignment", "enrollment", "user"]
    assert {key: received(webhook, clock) for key, webhook in webhooks.items()} == {
        (old, "owner"): ["course_assignment.removed", "user.removed"],
        (old, "learner"): [f"{noun}.removed" for noun in of_learners],
        (old, "both"): [f"{noun}.removed" for noun in of_learners],
        (new, "owner"): ["course_assignment.added", "user.added"],
        (new, "learner"): [f"{noun}.added" for noun in of_learners],
        (new, "both"): [f"{noun}.added" for noun in of_learners],
    }
    # It sees the enrollment before and after.
    assert received(runs_the_class, clock) == []


def test_the_roster_of_a_class_that_moves(old, new):
    WebhookFactory(organization=old, events=["*"])
    WebhookFactory(organization=new, events=["*"])
    training_class = TrainingClassFactory(organization=old)
    roster = [ClassEnrollmentFactory(training_class=training_class) for _number in range(3)]
    prune_events()

    training_class.organization = new
    training_class.save()
    (job,) = work()

    assert recipients()[:2] == [
        ("class.removed", training_class.pk, old.pk),
        ("class.added", training_class.pk, new.pk),
    ]
    assert recipients()[2:] == [
        (f"enrollment.{verb}", one.pk, owner.pk) for one in roster for verb, owner in (("removed", old), ("added", new))
    ]
    assert (job.status, job.done, job.nouns) == (JobStatus.FINISHED, 3, ["enrollment"])
    assert job.requested_by == f"class:{training_class.pk}"
    removed = Event.objects.filter(type="enrollment.removed").first()
    assert '"name"' not in removed.body


def test_users_that_are_updated_together_have_one_job_also_if_no_subscription_is_about_users(old, new):
    WebhookFactory(organization=old, events=["course_assignment.*"])
    learners = [UserFactory(organization=old) for _number in range(2)]
    assignments = [CourseAssignmentFactory(user=learner) for learner in learners]
    prune_events()

    User.objects.filter(pk__in=[one.pk for one in learners]).update(organization=new)
    (job,) = work()

    assert recipients() == [("course_assignment.removed", one.pk, old.pk) for one in assignments]
    assert job.requested_by == f"user:{learners[0].pk} + 1"


def test_no_job_is_created_where_no_subscription_can_match(old, new):
    WebhookFactory(organization=old, events=["user.*", "class.*"])
    learner = UserFactory(organization=old)
    CourseAssignmentFactory(user=learner)

    learner.organization = new
    learner.save()

    assert not Job.objects.exists()


def test_a_change_that_moves_nothing_creates_no_job(old):
    WebhookFactory(organization=old, events=["*"])
    learner = UserFactory(organization=old)
    CourseAssignmentFactory(user=learner)

    learner.first_name = "Ada"
    learner.save()
    User.objects.filter(pk=learner.pk).update(organization=old, last_name=F("first_name"))

    assert not Job.objects.exists()


def move(obj, organization):
    obj.organization = organization
    obj.save()


def test_what_leaves_with_a_user_without_an_organization_comes_back_with_the_user(old, new, clock):
    webhooks = [WebhookFactory(organization=one, events=["*"], audience="both") for one in (old, new)]
    learner = UserFactory(organization=old)
    CourseAssignmentFactory(user=learner)
    UserAchievementFactory(user=learner)
    ClassEnrollmentFactory(user=learner)
    prune_events()

    move(learner, None)
    work()
    of_learners = ["achievement", "course_assignment", "enrollment", "user"]
    assert received(webhooks[0], clock) == [f"{noun}.removed" for noun in of_learners]

    prune_events()
    move(learner, new)
    work()
    assert received(webhooks[0], clock) == []
    assert received(webhooks[1], clock) == [*(f"{noun}.added" for noun in of_learners[:-1]), "user.created"]


class OpenTalks(sources.ClassSource):
    owner = "organization"
    fields = {**BARE, "instructor_ids": None}
    only = {"title": "Open"}


ENROLLED = {"course": None, "status": sources.Constant("Enroll"), "completion_status": None}


class Speeches(sources.EnrollmentSource):
    owner = "talk.organization"
    learner = None
    fields = {**ENROLLED, "class": "talk", "user": "speaker"}


@pytest.mark.parametrize("also", ["hidden", "shown", "hidden and shown later"])
@pytest.mark.parametrize("way", ["save", "update"])
def test_what_moves_with_a_hidden_object_is_not_hidden_with_it(old, new, listen, way, also):
    for one in (old, new):
        WebhookFactory(organization=one, events=["enrollment.*"])
    listen(OpenTalks, Talk)
    listen(Speeches, Speech)
    talk = Talk.objects.create(organization=old, title="Open" if also == "hidden" else "Closed")
    speech = Speech.objects.create(talk=talk, speaker=UserFactory())
    prune_events()

    title = "Open" if also == "shown" else "Closed"
    if way == "save":
        talk.title, talk.organization = title, new
        talk.save()
    else:
        Talk.objects.update(title=title, organization=new)
    work()
    Talk.objects.update(title="Open")
    work()

    assert recipients() == [("enrollment.removed", speech.pk, old.pk), ("enrollment.added", speech.pk, new.pk)]


@pytest.mark.parametrize("first", ["the job", "the sweep", "its own change"])
def test_what_waited_for_an_organization_is_new_once(old, first):
    WebhookFactory(organization=old, events=["course_assignment.*"])
    learner = UserFactory(organization=None)
    assignment = CourseAssignmentFactory(user=learner)
    assert OwnerlessObject.objects.exists()
    move(learner, old)

    if first == "the job":
        work()
    elif first == "its own change":
        assignment.refresh_from_db()
        assignment.target_completion = timezone.now() + timedelta(days=1)
        assignment.save()
    reconciliation.settle_ownerless(timezone.now())
    work()

    assert recipients() == [("course_assignment.created", assignment.pk, old.pk)]


@pytest.mark.parametrize("was", [False, True], ids=["without an organization", "with another one"])
def test_what_is_new_since_the_move_does_not_move(old, new, was):
    for one in (old, new):
        WebhookFactory(organization=one, events=["course_assignment.*"])
    learner = UserFactory(organization=old if was else None)
    move(learner, new)
    assignment = CourseAssignmentFactory(user=learner)
    work()

    assert recipients() == [("course_assignment.created", assignment.pk, new.pk)]


class Attendances(sources.EnrollmentSource):
    owner = "lesson.series.organizations"
    learner = "learner.organization"
    fields = {**ENROLLED, "class": "lesson", "user": "learner"}


@pytest.fixture
def attendance(old, new, listen):
    """The attendance of a lesson with two owners, of which one will be another."""
    for one in (old, new):
        WebhookFactory(organization=one, events=["class.*", "enrollment.*"], audience="both")
    for source, model in ((LessonsOfSeries, Lesson), (Attendances, Attendance)):
        listen(source, model)
    series = Series.objects.create()
    series.organizations.set([old, OrganizationFactory()])
    lesson = Lesson.objects.create(title="Algebra", series=series)
    attendance = Attendance.objects.create(lesson=lesson, learner=UserFactory(organization=OrganizationFactory()))
    prune_events()
    return attendance


def test_what_moves_with_an_object_of_several_owners(attendance, old, new):
    lesson = attendance.lesson
    kept = lesson.series.organizations.exclude(pk=old.pk).get()
    lesson.series = Series.objects.create()
    lesson.series.organizations.set([kept, new])
    lesson.save()
    work()

    assert recipients() == [
        (f"{noun}.{verb}", one.pk, owner.pk)
        for noun, one in (("class", lesson), ("enrollment", attendance))
        for verb, owner in (("removed", old), ("added", new))
    ]


def test_an_interrupted_job_continues_where_it_was(old, new, monkeypatch):
    monkeypatch.setattr(moves, "PAGE", 2)
    WebhookFactory(organization=old, events=["enrollment.*"])
    training_class = TrainingClassFactory(organization=old)
    roster = [ClassEnrollmentFactory(training_class=training_class) for _number in range(5)]
    prune_events()
    training_class.organization = new
    training_class.save()
    late, job = Job.objects.get(), Job.objects.get()
    assert moves.work_on(job, now=job.created_at)

    with monkeypatch.context() as context:
        context.setattr(moves, "record_changes", lambda *_args, **_kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            moves.work_on(Job.objects.get(), now=job.created_at)
    assert not moves.work_on(late, now=job.created_at)
    (job,) = work()

    assert recipients() == [("enrollment.removed", one.pk, old.pk) for one in roster]
    assert (job.status, job.done) == (JobStatus.FINISHED, 5)


def test_a_job_with_too_many_objects_says_so(old, new, monkeypatch):
    monkeypatch.setattr(moves, "PAGE", 2)
    monkeypatch.setattr(moves, "MOST", 4)
    WebhookFactory(organization=old, events=["enrollment.*"])
    training_class = TrainingClassFactory(organization=old)
    for _number in range(7):
        ClassEnrollmentFactory(training_class=training_class)
    prune_events()

    training_class.organization = new
    training_class.save()
    (job,) = work()

    assert len(recipients()) == 4
    assert (job.status, job.error) == (
        JobStatus.FAILED,
        "More than 4 objects move with it. Send a snapshot: it has the rest.",
    )


def test_the_admin_lists_the_job_and_the_api_does_not(admin_client, old, new):
    WebhookFactory(organization=old, events=["*"])
    training_class = TrainingClassFactory(organization=old)
    ClassEnrollmentFactory(training_class=training_class)
    training_class.organization = new
    training_class.save()
    (job,) = work()

    page = admin_client.get("/admin/tms_webhooks/job/").content.decode()
    assert "Emit what moved along" in page
    assert f"class:{training_class.pk}" in page
    assert (
        f"class:{training_class.pk}"
        in admin_client.get(f"/admin/tms_webhooks/job/{job.public_id}/change/").content.decode()
    )
