"""The changes of an ordinary day. Each event has the cause that it has in production."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from django.utils import timezone

from example_project.demo.day import Day
from example_project.training import factories
from example_project.training.choices import ConfirmationStatus, EnrollmentStatus
from example_project.training.models import ClassEnrollment, CourseAssignment, TrainingClass, User


def classes(day: Day) -> None:
    """Classes are requested and denied, scheduled, guaranteed, moved, completed and cancelled."""
    refused = day.does(lambda: _new_class(day, ConfirmationStatus.REQUESTED), "class.requested")
    day.does(refused.deny, "class.denied", of=refused)

    held = day.does(lambda: _new_class(day, ConfirmationStatus.REQUESTED), "class.requested")
    later = held.start_at + timedelta(weeks=1), held.end_at + timedelta(weeks=1)
    day.does(held.mark_tentative, "class.tentative", of=held)
    day.does(held.schedule, "class.scheduled", of=held)
    day.does(held.guarantee, "class.guaranteed_to_run", of=held)
    day.does(lambda: held.reschedule(*later), "class.rescheduled", of=held)
    day.does(held.complete, "class.completed", of=held)

    called_off = day.does(lambda: _new_class(day, ConfirmationStatus.SCHEDULED), "class.scheduled")
    day.does(called_off.cancel, "class.cancelled", of=called_off)


def _new_class(day: Day, status: ConfirmationStatus) -> TrainingClass:
    return factories.TrainingClassFactory(
        organization=day.tenant.organization, course=day.tenant.courses[0], confirmation_status_id=status
    )


def enrollments(day: Day) -> None:
    """Learners request seats, and are enrolled, waitlisted, denied or admitted as auditors; one cancels."""
    first, second, third, _ = day.tenant.people.learners
    seat = day.does(lambda: _ask_for_seat(day, first), "enrollment.requested")
    day.does(seat.approve, "enrollment.approved", of=seat)
    day.does(seat.enroll, "enrollment.enrolled", of=seat)
    day.does(seat.cancel, "enrollment.cancelled", of=seat)

    late = day.does(lambda: _ask_for_seat(day, second), "enrollment.requested")
    day.does(late.waitlist, "enrollment.waitlisted", of=late)
    day.does(late.deny, "enrollment.denied", of=late)

    guest = day.does(lambda: _ask_for_seat(day, third), "enrollment.requested")
    day.does(guest.audit, "enrollment.audited", of=guest)


def _ask_for_seat(day: Day, learner: User) -> ClassEnrollment:
    return factories.ClassEnrollmentFactory(
        training_class=day.tenant.classes.training_class,
        user=learner,
        enrollment_status_id=EnrollmentStatus.REQUESTED,
    )


def self_paced(day: Day) -> None:
    """Courses are assigned, started and completed, and one of them completes a learning path."""
    work, learner = day.tenant.self_paced, day.tenant.people.learners[1]
    assigned = day.does(
        lambda: CourseAssignment.assign(day.tenant.courses[1], learner, at=timezone.now()),
        "course_assignment.created",
    )
    day.does(lambda: assigned.start(at=timezone.now()), "course_assignment.started", of=assigned)
    day.does(lambda: work.not_started.start(at=timezone.now()), "course_assignment.started", of=work.not_started)
    day.does(
        lambda: work.last_of_path.complete(at=timezone.now()),
        "course_assignment.completed",
        of=work.last_of_path,
        also=(("learning_path.completed", f"{work.learning_path.pk}:{work.last_of_path.user_id}"),),
    )


def people(day: Day) -> None:
    """Users are changed, feedback is given, an achievement is earned and a voucher is redeemed."""
    tenant, learner = day.tenant, day.tenant.people.learners[0]
    enrolled, training_class = tenant.classes.enrolled, tenant.classes.training_class
    for title in ("Senior engineer", "Head of operations"):
        day.does(partial(_promote, learner, title), "user.updated", of=learner)
    day.does(lambda: factories.CourseFeedbackFactory(class_enrollment=enrolled), "class_feedback.created")
    done = tenant.self_paced.completed
    day.does(lambda: factories.CourseFeedbackFactory(course_assignment=done), "course_feedback.created")
    day.does(lambda: tenant.achievement.award(learner, at=timezone.now()), "achievement.received")
    day.does(
        lambda: tenant.voucher.redeem(training_class=training_class, by=learner, at=timezone.now()),
        "voucher.redeemed",
        of=tenant.voucher,
    )


def _promote(user: User, title: str) -> None:
    user.title = title
    user.save(update_fields=["title"])
