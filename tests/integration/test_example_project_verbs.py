"""The verbs of the example project's models: what each sets, what each refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError

from example_project.training import factories
from example_project.training.exceptions import RefusedError
from example_project.training.models import ClassEnrollment, CourseAssignment, User, UserAchievement, Voucher

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("verb", "status"),
    [
        ("schedule", 0),
        ("guarantee", 1),
        ("cancel", 2),
        ("mark_tentative", 4),
        ("request", 5),
        ("deny", 6),
        ("complete", 7),
    ],
)
def test_a_class_takes_the_status_of_its_verb(verb: str, status: int) -> None:
    training_class = factories.TrainingClassFactory(confirmation_status_id=3)
    enrollment = factories.ClassEnrollmentFactory(training_class=training_class)
    getattr(training_class, verb)(**({"at": training_class.start_at} if verb == "complete" else {}))
    training_class.refresh_from_db()
    enrollment.refresh_from_db()
    assert (training_class.confirmation_status_id, enrollment.enrollment_status_id) == (status, 60)


def test_a_class_is_not_completed_before_it_starts() -> None:
    start_at = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
    training_class = factories.TrainingClassFactory(name="Azure", start_at=start_at)
    with pytest.raises(RefusedError) as refused:
        training_class.complete(at=start_at - timedelta(seconds=1))
    assert str(refused.value) == "Azure can't be completed before it starts, on 2026-11-30 at 09:00 UTC."
    training_class.refresh_from_db()
    assert training_class.confirmation_status_id == 0


@pytest.mark.parametrize(("status", "name"), [(2, "Cancelled"), (6, "Denied"), (7, "Completed")])
def test_a_class_that_is_over_is_neither_completed_nor_cancelled(status: int, name: str) -> None:
    training_class = factories.TrainingClassFactory(name="Azure", confirmation_status_id=status)
    with pytest.raises(RefusedError, match=f"Azure can't be completed: its status is {name}"):
        training_class.complete(at=training_class.end_at)
    with pytest.raises(RefusedError, match=f"Azure can't be cancelled: its status is {name}"):
        training_class.cancel()
    training_class.refresh_from_db()
    assert training_class.confirmation_status_id == status


def test_a_rescheduled_class_has_new_dates() -> None:
    training_class = factories.TrainingClassFactory()
    training_class.reschedule(NOW + 9 * DAY, NOW + 10 * DAY)
    training_class.refresh_from_db()
    assert training_class.confirmation_status_id == 3
    assert (training_class.start_at, training_class.end_at) == (NOW + 9 * DAY, NOW + 10 * DAY)
    with pytest.raises(IntegrityError):
        training_class.reschedule(NOW, NOW)


def test_who_comes_when_the_seats_are_gone_waits() -> None:
    training_class = factories.TrainingClassFactory(max_students=1)
    made = [training_class.register(user) for user in factories.UserFactory.create_batch(2)]
    assert [enrollment.enrollment_status_id for enrollment in made] == [60, 20]
    assert (training_class.num_enroll, training_class.num_open) == (1, 0)


@pytest.mark.parametrize(
    ("verb", "status"),
    [("request", 0), ("cancel", 10), ("waitlist", 20), ("approve", 30), ("deny", 40), ("audit", 50), ("enroll", 60)],
)
def test_an_enrollment_takes_the_status_of_its_verb(verb: str, status: int) -> None:
    enrollment = factories.ClassEnrollmentFactory(enrollment_status_id=0 if status else 60)
    getattr(enrollment, verb)()
    enrollment.refresh_from_db()
    assert (enrollment.enrollment_status_id, enrollment.late_cancel) == (status, False)
    assert enrollment.completion_status_id == 0


@pytest.mark.parametrize("verb", ["approve", "deny"])
@pytest.mark.parametrize("status", [10, 30, 40, 50, 60])
def test_only_a_requested_or_wait_listed_enrollment_is_approved_or_denied(verb: str, status: int) -> None:
    enrollment = factories.ClassEnrollmentFactory(enrollment_status_id=status)
    with pytest.raises(RefusedError, match=f"the status is {enrollment.get_enrollment_status_id_display()}, not"):
        getattr(enrollment, verb)()
    enrollment.refresh_from_db()
    assert enrollment.enrollment_status_id == status


@pytest.mark.parametrize(
    ("verb", "status"), [("attend", 10), ("complete", 20), ("mark_incomplete", 30), ("mark_no_show", 40), ("fail", 50)]
)
def test_only_an_enrolled_learner_has_a_result(verb: str, status: int) -> None:
    enrolled, approved = factories.ClassEnrollmentFactory(), factories.ClassEnrollmentFactory(enrollment_status_id=30)
    getattr(enrolled, verb)()
    with pytest.raises(RefusedError, match="isn't enrolled"):
        getattr(approved, verb)()
    assert list(ClassEnrollment.objects.order_by("pk").values_list("completion_status_id", flat=True)) == [status, 0]


@pytest.mark.parametrize(
    ("started", "completed", "status", "name"),
    [
        (None, None, 0, "Not started"),
        (NOW, None, 10, "Incomplete"),
        (NOW, NOW, 30, "Complete"),
        (None, NOW, 30, "Complete"),
    ],
)
def test_an_assignment_is_as_far_as_its_dates_say(
    started: datetime | None, completed: datetime | None, status: int, name: str
) -> None:
    derived = CourseAssignment(started_at=started, completed_at=completed).completion_status
    assert (derived.value, derived.label) == (status, name)


def test_an_assignment_runs_from_assigning_to_completion() -> None:
    user = factories.UserFactory()
    assignment = CourseAssignment.assign(factories.CourseFactory(), user, at=NOW)
    assert (assignment.started_at, assignment.expires_at) == (None, NOW + 180 * DAY)
    assignment.start(at=NOW + DAY)
    assignment.start(at=NOW + 2 * DAY)
    assignment.complete(at=NOW + 3 * DAY)
    assignment.refresh_from_db()
    assert (assignment.started_at, assignment.completed_at) == (NOW + DAY, NOW + 3 * DAY)
    assert assignment.created == NOW


def test_an_assignment_ends_with_the_subscription_that_paid_for_it() -> None:
    profile = factories.SubscriptionProfileFactory(duration_days=30)
    subscription = profile.subscribe(factories.UserFactory(), at=NOW)
    assignment = CourseAssignment.assign(
        factories.CourseFactory(), subscription.user, at=NOW + DAY, subscription=subscription
    )
    assert (subscription.expires_at, assignment.expires_at) == (NOW + 30 * DAY, NOW + 30 * DAY)
    subscription.extend(expires_at=NOW + 60 * DAY)
    subscription.cancel(at=NOW + 2 * DAY)
    subscription.refresh_from_db()
    assert (subscription.expires_at, subscription.cancelled_at) == (NOW + 60 * DAY, NOW + 2 * DAY)


def test_an_expired_assignment_lives_again_when_extended() -> None:
    assignment = factories.CourseAssignmentFactory(expires_at=NOW)
    with pytest.raises(RefusedError, match="has expired"):
        assignment.start(at=NOW)
    assignment.extend(expires_at=NOW + DAY)
    assignment.start(at=NOW)
    assignment.refresh_from_db()
    assert (assignment.started_at, assignment.expires_at) == (NOW, NOW + DAY)


def test_a_voucher_is_redeemed_once() -> None:
    voucher = factories.VoucherFactory(purchased_at=NOW)
    training_class = factories.TrainingClassFactory(course=voucher.course, organization=voucher.organization)
    user = factories.UserFactory()
    stale = Voucher.objects.get()
    voucher.redeem(training_class=training_class, by=user, at=NOW + DAY)
    with pytest.raises(RefusedError, match="redeemed before"):
        stale.redeem(training_class=training_class, by=factories.UserFactory(), at=NOW + 2 * DAY)
    voucher.refresh_from_db()
    assert (voucher.redeemed_at, voucher.redeemed_class, voucher.redeemed_by) == (NOW + DAY, training_class, user)


def test_a_voucher_is_refused_when_expired_or_for_another_course_organization_or_a_class_that_is_over() -> None:
    voucher = factories.VoucherFactory(purchased_at=NOW)
    fitting = factories.TrainingClassFactory(course=voucher.course, organization=voucher.organization)
    elsewhere = factories.TrainingClassFactory(course=voucher.course)
    over = factories.TrainingClassFactory(
        course=voucher.course, organization=voucher.organization, confirmation_status_id=2
    )
    with pytest.raises(RefusedError, match="has expired"):
        voucher.redeem(training_class=fitting, by=factories.UserFactory(), at=NOW + 90 * DAY)
    with pytest.raises(RefusedError, match="another course"):
        voucher.redeem(training_class=factories.TrainingClassFactory(), by=factories.UserFactory(), at=NOW)
    with pytest.raises(RefusedError, match="another organization"):
        voucher.redeem(training_class=elsewhere, by=factories.UserFactory(), at=NOW)
    with pytest.raises(RefusedError, match="which is over"):
        voucher.redeem(training_class=over, by=factories.UserFactory(), at=NOW)
    assert Voucher.objects.get().redeemed_at is None


def test_an_achievement_is_awarded_to_those_who_take_part_and_only_so_often() -> None:
    achievement = factories.AchievementFactory(frequency=1, points=50)
    user = factories.UserFactory(organization=achievement.organization)
    award = achievement.award(user, at=NOW)
    assert (award.points, award.earned_at, award.user) == (50, NOW, user)
    with pytest.raises(RefusedError, match="can't be earned again"):
        achievement.award(user, at=NOW + DAY)
    with pytest.raises(RefusedError, match="another organization"):
        achievement.award(factories.UserFactory(), at=NOW)
    with pytest.raises(RefusedError, match="take part"):
        achievement.award(factories.UserFactory(participate_in_achievements=False), at=NOW)
    assert UserAchievement.objects.count() == 1


def test_an_achievement_is_met_by_completed_courses_and_by_points() -> None:
    first, second = (factories.CourseAssignmentFactory(completed_at=NOW) for _ in range(2))
    learner = first.user
    courses = {"Subject": 10, "Count": 1, "CourseIds": [first.course_id, second.course_id], "Complete": True}
    assert factories.AchievementFactory(conditions=[courses]).is_met_by(learner)
    assert not factories.AchievementFactory(conditions=[{**courses, "Count": 2}]).is_met_by(learner)
    factories.CourseAssignmentFactory(user=learner, course=first.course, completed_at=NOW)
    assert factories.AchievementFactory(conditions=[{**courses, "Count": 2}]).is_met_by(learner)
    assert not factories.AchievementFactory(conditions=[{**courses, "Count": 2, "Distinct": True}]).is_met_by(learner)

    points = {"Subject": 40, "Points": 50}
    assert not factories.AchievementFactory(conditions=[courses, points]).is_met_by(learner)
    factories.UserAchievementFactory(user=learner, points=50)
    assert factories.AchievementFactory(conditions=[courses, points]).is_met_by(learner)
    assert not factories.AchievementFactory(conditions=[]).is_met_by(learner)
    assert not factories.AchievementFactory(conditions=[{"Subject": 0, "Count": 1}]).is_met_by(learner)


# People and organizations


def test_a_closed_account_tells_nothing_of_its_person() -> None:
    user = factories.UserFactory(first_name="Ines", last_name="Okafor", city="Chicago")
    enrollment = factories.ClassEnrollmentFactory(user=user)
    user.close()
    closed = User.objects.get(pk=user.pk)
    assert (closed.get_full_name(), closed.email) == ("Closed Account", f"closed-{user.pk}@accounts.invalid")
    assert (closed.external_id, closed.phone, closed.city, closed.disabled) == (None, "", "", True)
    assert ClassEnrollment.objects.get().user_id == enrollment.user_id


def test_merging_moves_what_was_learned_and_deletes_the_duplicate() -> None:
    kept, duplicate = factories.UserFactory.create_batch(2)
    enrollment = factories.ClassEnrollmentFactory(user=duplicate)
    taught = factories.TrainingClassFactory(primary_instructor=duplicate)
    kept.merge(duplicate)
    enrollment.refresh_from_db()
    taught.refresh_from_db()
    assert (enrollment.user, taught.primary_instructor) == (kept, kept)
    assert not User.objects.filter(external_id=duplicate.external_id).exists()
    with pytest.raises(RefusedError, match="itself"):
        kept.merge(kept)
