"""A busy organization: half a year of training around the present, with a record in each status."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import cycle

import factory
from django.db import transaction
from factory.random import reseed_random

from example_project.training import factories
from example_project.training.choices import (
    AudienceLevel,
    CompletionStatus,
    ConfirmationStatus,
    DeliveryType,
    EnrollmentStatus,
    FrequencyType,
)
from example_project.training.models import (
    ClassEnrollment,
    Course,
    CourseAssignment,
    TrainingClass,
    User,
)
from example_project.training.models.classes import OVER
from example_project.training.seed import SEED, Tenant

LEARNERS = [
    ("Amélie", "Dubois-Lefèvre", "amelie"),
    ("نور", "الحسيني", "nour"),
    ("Seán", "O’Brien", "sean"),
    ("Maximiliana Theodora", "von Hohenstein-Wackerbarth", "maximiliana"),
    ("דנה", "לוי", "dana"),
    ("Zoë 🌻", "Nakamura", "zoe"),
    ("Nguyễn", "Thị Minh Khai", "khai"),
    ("Łukasz", "Żółkiewski", "lukasz"),
    ("小龙", "李", "xiaolong"),
    ("Oluwaseun", "Adébáyọ̀", "oluwaseun"),
    ("Ana Sofía", "García Márquez", "ana-sofia"),
    ("Мария", "Соколова", "maria"),
    ("Jo", "Li", "jo"),
    ("Priya", "Venkataraghavan", "priya"),
    ("Tāne", "Ngāta", "tane"),
    ("Katrín", "Guðmundsdóttir", "katrin"),
]
"""First name, last name and the begin of the user name."""

COURSES = [
    ("Incident Response Basics", 1),
    ("🚀 Continuous Delivery in Practice", 2),
    ("أساسيات الحوسبة السحابية", 3),
    ("Designing, Operating and Troubleshooting Hybrid Identity, Storage and Network Services for Administrators", 5),
]
"""Name and days."""

CLASSES = [
    (-10, ConfirmationStatus.COMPLETED, DeliveryType.PHYSICAL),
    (-6, ConfirmationStatus.COMPLETED, DeliveryType.VIRTUAL),
    (-4, ConfirmationStatus.CANCELLED, DeliveryType.MIXED),
    (-2, ConfirmationStatus.COMPLETED, DeliveryType.MIXED),
    (-1, ConfirmationStatus.GUARANTEED_TO_RUN, DeliveryType.VIRTUAL),
    (1, ConfirmationStatus.GUARANTEED_TO_RUN, DeliveryType.PHYSICAL),
    (2, ConfirmationStatus.RESCHEDULED, DeliveryType.VIRTUAL),
    (3, ConfirmationStatus.CANCELLED, DeliveryType.PHYSICAL),
    (4, ConfirmationStatus.SCHEDULED, DeliveryType.MIXED),
    (6, ConfirmationStatus.TENTATIVE, DeliveryType.VIRTUAL),
    (9, ConfirmationStatus.REQUESTED, DeliveryType.PHYSICAL),
    (12, ConfirmationStatus.DENIED, DeliveryType.PHYSICAL),
]
"""Weeks from next Monday, status, and where it is held."""

RESULTS = [
    (CompletionStatus.COMPLETE, 92),
    (CompletionStatus.COMPLETE, 78),
    (CompletionStatus.FAILED, 41),
    (CompletionStatus.COMPLETE, None),
    (CompletionStatus.NO_SHOW, None),
    (CompletionStatus.INCOMPLETE, None),
]
"""The results of a completed class, with grades."""

ROSTER = [
    EnrollmentStatus.ENROLLED,
    EnrollmentStatus.ENROLLED,
    EnrollmentStatus.APPROVED,
    EnrollmentStatus.REQUESTED,
    EnrollmentStatus.WAITLISTED,
    EnrollmentStatus.CANCELLED,
    EnrollmentStatus.AUDIT,
    EnrollmentStatus.DENIED,
]
"""The enrollments of a class that is to come."""

ASSIGNMENTS: list[tuple[int, int | None, int | None, int]] = [
    (170, 160, 120, 10),
    (171, 165, None, 9),
    (168, None, None, 12),
    (164, 100, None, 16),
    (159, 90, None, 21),
    (153, None, None, 27),
    (190, 150, None, -10),
    (200, None, None, -20),
    (90, 80, 60, 90),
    (60, 30, 3, 120),
    (45, 44, 1, 135),
    (30, 2, None, 150),
    (14, None, None, 166),
    (3, 1, None, 177),
    (1, None, None, 179),
]
"""Days since it was assigned, started and completed, and days until it expires. The last one is cancelled."""

OPINIONS = [
    ("The labs made it stick 👍", "I could use it at work the next day.", True),
    ("Too fast on the second day", "Storage took ten minutes, and it is most of my work.", False),
    ("شرح واضح جدًا", "", True),
    ("Room too cold", "", None),
    ("Worth the time, but the lab environment took twenty minutes to start on each of the three mornings", "", None),
]
"""Title, content, and whether it praises; None for neither."""

VOUCHERS = [(0, None), (30, None), (72, None), (78, None), (100, None), (110, 80), (130, 75)]
"""Days since the purchase, after which a voucher is good for 90, and since it was redeemed."""


@transaction.atomic
def fill(tenant: Tenant, *, now: datetime) -> None:
    """Add people and training to an organization. ``now`` is the moment that all dates are relative to."""
    reseed_random(SEED)
    learners = [_make_learner(tenant, *names) for names in LEARNERS]
    new = [
        factories.CourseFactory(organization=tenant.organization, name=name, duration=days) for name, days in COURSES
    ]
    courses = [*new, *tenant.courses]
    classes = [_make_class(tenant, now, course, *row) for course, row in zip(cycle(courses), CLASSES, strict=False)]
    # They go round, so that each gets some of everything.
    places = cycle(learners)
    enrollments = [one for training_class in classes for one in _make_roster(training_class, now, places)]
    assignments = [
        _make_assignment(course, next(places), now, *row)
        for course, row in zip(cycle(courses), ASSIGNMENTS, strict=False)
    ]
    assignments[-1].cancel()
    _give_feedback(enrollments, assignments, now)
    _make_subscriptions(tenant, courses, learners, now)
    _make_achievements(tenant, learners, now)
    _make_vouchers(tenant, classes, learners, now)


def _make_learner(tenant: Tenant, first_name: str, last_name: str, name: str) -> User:
    return factories.UserFactory(
        organization=tenant.organization,
        manager=tenant.people.administrator,
        first_name=first_name,
        last_name=last_name,
        username=factory.LazyAttribute(lambda user: f"{name}-{user.number}"),
    )


def _make_class(
    tenant: Tenant, now: datetime, course: Course, weeks: int, status: ConfirmationStatus, delivery_type: DeliveryType
) -> TrainingClass:
    people = tenant.people
    training_class = factories.TrainingClassFactory(
        organization=tenant.organization,
        course=course,
        confirmation_status_id=status,
        delivery_type_id=delivery_type,
        primary_instructor=people.instructor,
        requested_by=people.administrator,
        start_at=factories.next_monday(now) + timedelta(weeks=weeks),
        min_students=4,
        max_students=8,
        created=now - timedelta(days=100),
    )
    for day in range(int(course.duration)):
        start_at = training_class.start_at + timedelta(days=day)
        factories.SessionTimeFactory(training_class=training_class, start_at=start_at)
    return training_class


def _make_roster(training_class: TrainingClass, now: datetime, learners: Iterator[User]) -> list[ClassEnrollment]:
    """Enroll learners: with results in a completed class, and in each status in one that is to come."""
    make, status = factories.ClassEnrollmentFactory, training_class.confirmation_status_id
    created = min(now, training_class.start_at) - timedelta(days=14)
    if status == ConfirmationStatus.COMPLETED:
        return [
            make(
                training_class=training_class,
                user=next(learners),
                completion_status_id=result,
                grade=grade,
                created=created,
            )
            for result, grade in RESULTS
        ]
    began = training_class.start_at < now
    statuses = [EnrollmentStatus.ENROLLED] * 4 if began else ROSTER
    result = CompletionStatus.ATTENDING if began and status not in OVER else CompletionStatus.UNKNOWN
    return [
        make(
            training_class=training_class,
            user=next(learners),
            enrollment_status_id=one,
            completion_status_id=result,
            late_cancel=one == EnrollmentStatus.CANCELLED,
            created=created,
        )
        for one in statuses
    ]


def _make_assignment(
    course: Course, learner: User, now: datetime, assigned: int, started: int | None, completed: int | None, left: int
) -> CourseAssignment:
    return factories.CourseAssignmentFactory(
        course=course,
        user=learner,
        created=_ago(now, assigned),
        started_at=_ago(now, started),
        completed_at=_ago(now, completed),
        expires_at=_ago(now, -left),
    )


def _give_feedback(enrollments: list[ClassEnrollment], assignments: list[CourseAssignment], now: datetime) -> None:
    done = [
        *({"class_enrollment": one} for one in enrollments if one.completion_status_id == CompletionStatus.COMPLETE),
        *({"course_assignment": one} for one in assignments if one.completed_at),
    ]
    for number, (subject, opinion) in enumerate(zip(done, cycle(OPINIONS), strict=False)):
        title, content, praise = opinion
        factories.CourseFeedbackFactory(
            **subject,
            title=title,
            content=content,
            positive=praise is True,
            negative=praise is False,
            submitted_at=_ago(now, number + 0.5),
        )


def _make_subscriptions(tenant: Tenant, courses: list[Course], learners: list[User], now: datetime) -> None:
    """Make a subscription that is new, one that ends soon, one that has ended and one that is cancelled, and two paths."""
    profile = factories.SubscriptionProfileFactory(
        organization=tenant.organization, name="Operations library, one year"
    )
    profile.courses.set(courses)
    for learner, days in zip(learners, (3, 344, 370, 40), strict=False):
        subscription = factories.SubscriptionAssignmentFactory(
            profile=profile, user=learner, starts_at=_ago(now, days), created=_ago(now, days)
        )
    subscription.cancel(at=now - timedelta(days=39))
    for name, level, steps in (
        ("First steps in operations", AudienceLevel.BEGINNER, courses[:2]),
        ("From operations to architecture: hybrid infrastructure in depth", AudienceLevel.ADVANCED, courses[1:6]),
    ):
        path = factories.LearningPathFactory(organization=tenant.organization, name=name, audience_level=level)
        path.subscription_profiles.add(profile)
        for position, course in enumerate(steps, start=1):
            factories.LearningPathCourseFactory(learning_path=path, course=course, position=position)
    for course in courses[:2]:
        factories.CourseAssignmentFactory(
            course=course, user=learners[0], started_at=_ago(now, 2), completed_at=_ago(now, 1), created=_ago(now, 3)
        )


def _make_achievements(tenant: Tenant, learners: list[User], now: datetime) -> None:
    for name, points, frequency_type in (
        ("Ten labs in one day 🏅", 100, FrequencyType.PER_DAY),
        ("Helped a colleague through an exam", 20, FrequencyType.PER_USER),
    ):
        achievement = factories.AchievementFactory(
            organization=tenant.organization, name=name, points=points, frequency_type=frequency_type, conditions=[]
        )
        for days, learner in enumerate(learners[:5], start=1):
            achievement.award(learner, at=now - timedelta(days=days * 7))


def _make_vouchers(tenant: Tenant, classes: list[TrainingClass], learners: list[User], now: datetime) -> None:
    for learner, (purchased, redeemed) in zip(learners, VOUCHERS, strict=False):
        training_class = classes[0]
        factories.VoucherFactory(
            organization=tenant.organization,
            course=training_class.course,
            purchased_at=_ago(now, purchased),
            created=_ago(now, purchased),
            **(
                {}
                if redeemed is None
                else {"redeemed_at": _ago(now, redeemed), "redeemed_class": training_class, "redeemed_by": learner}
            ),
        )


def _ago(now: datetime, days: float | None) -> datetime | None:
    return None if days is None else now - timedelta(days=days)
