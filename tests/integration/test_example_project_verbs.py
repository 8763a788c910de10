"""The verbs of the example project's models: what each sets, what each refuses."""

from datetime import UTC, datetime, timedelta

import pytest

from example_project.training import factories
from example_project.training.exceptions import RefusedError
from example_project.training.models import ClassEnrollment, UserAchievement, Voucher
from tests.conftest import NOW

DAY = timedelta(days=1)


def test_a_class_is_not_completed_before_it_starts():
    start_at = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
    training_class = factories.TrainingClassFactory(name="Azure", start_at=start_at)
    with pytest.raises(RefusedError) as refused:
        training_class.complete(at=start_at - timedelta(seconds=1))
    assert str(refused.value) == "Azure can't be completed before it starts, on 2026-11-30 at 09:00 UTC."
    training_class.refresh_from_db()
    assert training_class.confirmation_status_id == 0


@pytest.mark.parametrize("verb", ["approve", "deny"])
@pytest.mark.parametrize("status", [10, 30, 40, 50, 60])
def test_only_a_requested_or_wait_listed_enrollment_is_approved_or_denied(verb, status):
    enrollment = factories.ClassEnrollmentFactory(enrollment_status_id=status)
    with pytest.raises(RefusedError, match=f"the status is {enrollment.get_enrollment_status_id_display()}, not"):
        getattr(enrollment, verb)()
    enrollment.refresh_from_db()
    assert enrollment.enrollment_status_id == status


@pytest.mark.parametrize("verb", ["attend", "complete", "mark_incomplete", "mark_no_show", "fail"])
def test_only_an_enrolled_learner_has_a_result(verb):
    approved = factories.ClassEnrollmentFactory(enrollment_status_id=30)
    with pytest.raises(RefusedError, match="isn't enrolled"):
        getattr(approved, verb)()
    assert ClassEnrollment.objects.get().completion_status_id == 0


def test_an_expired_assignment_lives_again_when_extended():
    assignment = factories.CourseAssignmentFactory(expires_at=NOW)
    with pytest.raises(RefusedError, match="has expired"):
        assignment.start(at=NOW)
    assignment.extend(expires_at=NOW + DAY)
    assignment.start(at=NOW)
    assignment.refresh_from_db()
    assert (assignment.started_at, assignment.expires_at) == (NOW, NOW + DAY)


def test_a_voucher_is_refused_when_expired_or_for_another_course_organization_or_a_class_that_is_over():
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


def test_an_achievement_is_awarded_to_those_who_take_part_and_only_so_often():
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
