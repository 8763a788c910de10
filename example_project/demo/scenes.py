"""The changes of an ordinary day. Each event has the cause that it has in production."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial

from django.db.models import Model
from django.utils import timezone

from example_project.demo.day import Day
from example_project.training import factories
from example_project.training.choices import ConfirmationStatus, EnrollmentStatus
from example_project.training.models import ClassEnrollment, CourseAssignment, Role, TrainingClass, User


def ordinary_day(day: Day) -> None:
    """Make the changes of a day."""
    for scene in (classes, enrollments, self_paced, people):
        scene(day)


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
    day.does(lambda: held.complete(at=held.end_at), "class.completed", of=held)

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
        day.does(partial(_set, learner, title=title), "user.updated", of=learner)
    day.does(lambda: factories.CourseFeedbackFactory(class_enrollment=enrolled), "class_feedback.created")
    done = tenant.self_paced.completed
    day.does(lambda: factories.CourseFeedbackFactory(course_assignment=done), "course_feedback.created")
    day.does(lambda: tenant.achievement.award(learner, at=timezone.now()), "achievement.received")
    day.does(
        lambda: tenant.voucher.redeem(training_class=training_class, by=learner, at=timezone.now()),
        "voucher.redeemed",
        of=tenant.voucher,
    )


def results(day: Day) -> None:
    """Enrolled learners attend, finish, fail, leave early or never come; one is moved, and an enrollment is deleted."""
    seats = [day.does(lambda: _enrolled(day), "enrollment.enrolled") for _ in range(4)]
    day.does(seats[0].attend, "enrollment.attending", of=seats[0])
    day.does(lambda: seats[0].complete(grade=92), "enrollment.completed", of=seats[0])
    day.does(seats[1].fail, "enrollment.failed", of=seats[1])
    day.does(seats[2].mark_incomplete, "enrollment.incomplete", of=seats[2])
    day.does(seats[3].mark_no_show, "enrollment.no_show", of=seats[3])

    other = day.does(lambda: _new_class(day, ConfirmationStatus.SCHEDULED), "class.scheduled")
    day.does(lambda: seats[3].move_to(other), "enrollment.updated", of=seats[3])
    day.does(seats[3].delete, "enrollment.deleted", of=str(seats[3].pk))


def _enrolled(day: Day) -> ClassEnrollment:
    return factories.ClassEnrollmentFactory(
        training_class=day.tenant.classes.training_class, user=day.tenant.people.learners[2]
    )


def undone(day: Day) -> None:
    """Self-paced training is extended, cancelled, reopened and deleted; an achievement and a voucher are returned."""
    now, tenant, learner = timezone.now(), day.tenant, day.tenant.people.learners[2]
    course = tenant.courses[2]
    assigned = day.does(lambda: CourseAssignment.assign(course, learner, at=now), "course_assignment.created")
    first_activity = course.activities.first()
    assert first_activity is not None
    day.does(
        lambda: assigned.work_on(first_activity, at=now),
        "course_assignment.started",
        "course_assignment.progressed",
        of=assigned,
    )
    day.does(lambda: assigned.extend(expires_at=now + timedelta(days=300)), "course_assignment.updated", of=assigned)
    day.does(lambda: assigned.complete(at=now), "course_assignment.completed", of=assigned)
    day.does(assigned.reopen, "course_assignment.reopened", of=assigned)
    day.does(assigned.cancel, "course_assignment.cancelled", of=assigned)
    day.does(assigned.delete, "course_assignment.deleted", of=str(assigned.pk))

    subscription = day.does(lambda: tenant.self_paced.profile.subscribe(learner, at=now), "subscription.created")
    extended = now + timedelta(days=400)
    day.does(lambda: subscription.extend(expires_at=extended), "subscription.updated", of=subscription)
    day.does(lambda: subscription.cancel(at=now), "subscription.cancelled", of=subscription)
    day.does(subscription.resume, "subscription.reopened", of=subscription)
    day.does(subscription.delete, "subscription.deleted", of=str(subscription.pk))

    award = day.does(lambda: tenant.achievement.award(learner, at=now), "achievement.received")
    day.does(partial(_set, award, points=75), "achievement.updated", of=award)
    day.does(award.delete, "achievement.revoked", of=str(award.pk))
    day.does(tenant.voucher.give_back, "voucher.returned", of=tenant.voucher)


def corrected(day: Day) -> None:
    """Feedback and a voucher are changed and deleted."""
    tenant = day.tenant
    for kind, written_in in (
        ("class_feedback", {"class_enrollment": tenant.classes.enrolled}),
        ("course_feedback", {"course_assignment": tenant.self_paced.completed}),
    ):
        feedback = day.does(partial(factories.CourseFeedbackFactory, **written_in), f"{kind}.created")
        day.does(partial(_set, feedback, title="Clearer now"), f"{kind}.updated", of=feedback)
        day.does(feedback.delete, f"{kind}.deleted", of=str(feedback.pk))
    bought = partial(factories.VoucherFactory, organization=tenant.organization, course=tenant.courses[0])
    voucher = day.does(bought, "voucher.created")
    day.does(partial(_set, voucher, order_id="ORD-CORRECTED"), "voucher.updated", of=voucher)
    day.does(voucher.delete, "voucher.deleted", of=str(voucher.pk))


def moved(day: Day, there: Day) -> None:
    """An object of each noun goes to another organization, and comes back."""
    now, tenant, other = timezone.now(), day.tenant, there.tenant
    learner, guest = tenant.people.learners[2], other.people.learners[2]
    own, elsewhere = tenant.classes.training_class, other.classes.training_class
    here, away = {"organization": tenant.organization}, {"organization": other.organization}
    profile, award = tenant.self_paced.profile, tenant.achievement.award
    new = partial(factories.CourseFeedbackFactory, course_assignment=tenant.self_paced.completed)
    rows: list[tuple[Model, str, dict[str, object], dict[str, object]]] = [
        (day.does(lambda: _new_class(day, ConfirmationStatus.SCHEDULED), "class.scheduled"), "class", away, here),
        (day.does(lambda: factories.UserFactory(**here), "user.created"), "user", away, here),
        (
            day.does(lambda: factories.ClassEnrollmentFactory(training_class=own, user=learner), "enrollment.enrolled"),
            "enrollment",
            {"training_class": elsewhere},
            {"training_class": own},
        ),
        (
            day.does(new, "course_feedback.created"),
            "feedback",
            {"course": other.courses[0]},
            {"course": tenant.self_paced.completed.course},
        ),
        (
            day.does(
                partial(factories.VoucherFactory, organization=tenant.organization, course=tenant.courses[0]),
                "voucher.created",
            ),
            "voucher",
            away,
            here,
        ),
    ]
    of_learners = {
        "course_assignment.created": partial(CourseAssignment.assign, tenant.courses[2], learner, at=now),
        "subscription.created": partial(profile.subscribe, learner, at=now),
        "achievement.received": partial(award, learner, at=now),
    }
    for name, make in of_learners.items():
        row: Model = day.does(make, name)
        rows.append((row, name.partition(".")[0], {"user": guest}, {"user": learner}))
    rows += [
        (day.does(partial(make, **here), f"{noun}.created"), noun, away, here) for noun, make in REFERENCED.items()
    ]
    for row, noun, values, old_values in rows:
        for verb, opposite, changes in (("removed", "added", values), ("added", "removed", old_values)):
            day.does(partial(_set, row, **changes), f"{noun}.{verb}", of=row)
            # The other organization has no webhook for the other nouns.
            if noun in ("class", "enrollment"):
                there.awaits(f"{noun}.{opposite}", row)


REFERENCED: Mapping[str, Callable[..., Model]] = {
    "course": factories.CourseFactory,
    "classroom": factories.ClassroomFactory,
    "company": factories.CompanyFactory,
    "profile": factories.SubscriptionProfileFactory,
    "department": factories.DepartmentFactory,
}
"""What classes and learners refer to: its noun, and how one is made."""


def referenced(day: Day) -> None:
    """What others refer to is created, renamed and deleted; the organization gets another name and back."""
    organization = day.tenant.organization
    for noun, factory in REFERENCED.items():
        thing = day.does(partial(factory, organization=organization), f"{noun}.created")
        day.does(partial(_set, thing, name="Renamed"), f"{noun}.updated", of=thing)
        day.does(thing.delete, f"{noun}.deleted", of=str(thing.pk))
    name = organization.name
    for new_name in (f"{name} Group", name):
        day.does(partial(_set, organization, name=new_name), "organization.updated", of=organization)


def _set(row: Model, **values: object) -> None:
    for name, value in values.items():
        setattr(row, name, value)
    row.save(update_fields=list(values))


def accounts(day: Day) -> None:
    """An account is created, gets a role, and is disabled and enabled; another is merged into it, and it is closed."""
    organization = day.tenant.organization
    user, duplicate = (
        day.does(lambda: factories.UserFactory(organization=organization), "user.created") for _ in range(2)
    )
    role = Role.objects.get(name="Instructor")
    day.does(lambda: user.roles.add(role), "user.updated", of=user)
    day.does(user.disable, "user.deactivated", of=user)
    day.does(user.enable, "user.activated", of=user)
    day.does(lambda: user.merge(duplicate), "user.merged", "user.deleted", of=str(duplicate.pk))
    day.does(user.close, "user.deactivated", "user.closed", of=user)
