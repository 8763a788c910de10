"""Believable records for tests and the demo. Seeded the same, they come out the same, ids and passwords aside."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

import factory
from django.contrib.auth.hashers import make_password
from django.db.models import Max, Model
from django.utils import timezone
from django.utils.text import slugify

from example_project.training import models
from example_project.training.choices import ActivityType, AudienceLevel, EnrollmentStatus

T = TypeVar("T", bound=Model)

ORGANIZATIONS = [
    "Harborview Learning",
    "Cedar Point Academy",
    "Meridian Skills Group",
    "Bluestone Training",
    "Lakeshore Technical Institute",
]
COMPANIES = ["Alder Freight", "Pinecrest Health", "Solway Energy", "Tamarack Bank", "Orchard Retail"]
DEPARTMENTS = ["Sales", "Support", "Engineering", "Finance"]
COURSES = [
    ("Azure Administrator", 4),
    ("Azure Fundamentals", 1),
    ("Kubernetes Operations", 3),
    ("Windows Server Hybrid Administrator", 4),
    ("Security Operations Analyst", 4),
    ("Power BI Data Analyst", 3),
    ("Python for Data Engineers", 5),
    ("Linux System Administration", 4),
    ("Network Troubleshooting", 2),
    ("Project Management Essentials", 2),
]
CITIES = [("Chicago", "IL"), ("Denver", "CO"), ("Austin", "TX"), ("Boston", "MA"), ("Seattle", "WA")]


def next_monday(now: datetime) -> datetime:
    """Return nine o'clock, in the time zone of ``now``, of the first Monday after it."""
    day = now + timedelta(days=7 - now.weekday())
    return day.replace(hour=9, minute=0, second=0, microsecond=0)


class Factory(factory.django.DjangoModelFactory[T]):
    """What the factories share: numbers that continue where the rows of the database end."""

    class Meta:
        abstract = True

    @classmethod
    def _setup_next_sequence(cls) -> int:
        last: int | None = cls._meta.model._default_manager.aggregate(last=Max("pk"))["last"]
        return (last or 0) + 1


class OrganizationFactory(Factory[models.Organization]):
    class Meta:
        model = models.Organization

    name = factory.Sequence(lambda number: ORGANIZATIONS[(number - 1) % len(ORGANIZATIONS)])
    external_id = factory.Sequence(lambda number: f"ORG-{number:04}")
    time_zone_id = "Central Standard Time"


class CompanyFactory(Factory[models.Company]):
    class Meta:
        model = models.Company

    name = factory.Sequence(lambda number: COMPANIES[(number - 1) % len(COMPANIES)])
    external_id = factory.Sequence(lambda number: f"COM-{number:04}")
    organization = factory.SubFactory(OrganizationFactory)
    email = factory.LazyAttribute(lambda company: f"training@{slugify(company.name)}.example")


class DepartmentFactory(Factory[models.Department]):
    class Meta:
        model = models.Department

    name = factory.Sequence(lambda number: DEPARTMENTS[(number - 1) % len(DEPARTMENTS)])
    organization = factory.SubFactory(OrganizationFactory)


class UserFactory(Factory[models.User]):
    """A learner. Pass ``password`` in the clear to let them sign in; otherwise they can't."""

    class Meta:
        model = models.User

    class Params:
        number = factory.Sequence(lambda number: number)
        home = factory.Faker("random_element", elements=CITIES)

    organization = factory.SubFactory(OrganizationFactory)
    first_name = factory.Faker("first_name")
    last_name = factory.Faker("last_name")
    username = factory.LazyAttribute(lambda user: slugify(f"{user.first_name}-{user.last_name}-{user.number}"))
    email = factory.LazyAttribute(
        lambda user: f"{user.username}@{slugify(user.organization.name) if user.organization else 'operations'}.example"
    )
    external_id = factory.LazyAttribute(lambda user: f"EMP-{user.number:05}")
    title = factory.Faker("random_element", elements=["Systems engineer", "Analyst", "Team lead", "Administrator"])
    phone = factory.Faker("numerify", text="+1-312-555-01##")
    address1 = factory.Faker("street_address")
    city = factory.LazyAttribute(lambda user: user.home[0])
    state = factory.LazyAttribute(lambda user: user.home[1])
    zip = factory.Faker("numerify", text="6####")
    country_code = "US"
    time_zone_id = "Central Standard Time"
    # Hashing is slow on purpose: in sample data, equal passwords share one hash.
    password: Any = factory.Transformer(None, transform=cache(make_password))


class RoleFactory(Factory[models.Role]):
    class Meta:
        model = models.Role
        django_get_or_create = ["name"]

    name = "Student"


class CourseFactory(Factory[models.Course]):
    class Meta:
        model = models.Course

    class Params:
        number = factory.Sequence(lambda number: number)

    name = factory.LazyAttribute(lambda course: COURSES[(course.number - 1) % len(COURSES)][0])
    duration = factory.LazyAttribute(lambda course: COURSES[(course.number - 1) % len(COURSES)][1])
    description = factory.LazyAttribute(lambda course: f"{course.name}, taught with hands-on labs.")
    external_id = factory.LazyAttribute(lambda course: f"CRS-{course.number:04}")
    organization = factory.SubFactory(OrganizationFactory)


class ActivityFactory(Factory[models.Activity]):
    class Meta:
        model = models.Activity

    course = factory.SubFactory(CourseFactory)
    position = factory.Sequence(lambda number: number)
    name = factory.LazyAttribute(lambda activity: f"Lab {activity.position}")
    activity_type_id = ActivityType.LAB
    expected_duration_seconds = 3600


class ClassroomFactory(Factory[models.Classroom]):
    class Meta:
        model = models.Classroom

    name = factory.Sequence(lambda number: f"Room {100 + number}")
    organization = factory.SubFactory(OrganizationFactory)
    city = factory.Faker("random_element", elements=[city for city, _ in CITIES])
    address1 = factory.Sequence(lambda number: f"{number} Main Street")
    country_code = "US"


class TrainingClassFactory(Factory[models.TrainingClass]):
    """A scheduled class that starts next Monday and lasts as many days as its course says."""

    class Meta:
        model = models.TrainingClass

    course = factory.SubFactory(CourseFactory, organization=factory.SelfAttribute("..organization"))
    organization = factory.SubFactory(OrganizationFactory)
    name = factory.LazyAttribute(
        lambda training_class: f"{training_class.course.name}, {training_class.start_at:%B %Y}"
    )
    external_id = factory.Sequence(lambda number: f"CLS-{number:05}")
    start_at = factory.LazyFunction(lambda: next_monday(timezone.now()))
    end_at = factory.LazyAttribute(
        lambda training_class: training_class.start_at + timedelta(days=training_class.course.duration - 1, hours=8)
    )
    time_zone_id = "Central Standard Time"


class SessionTimeFactory(Factory[models.SessionTime]):
    """The session of the first day of its class."""

    class Meta:
        model = models.SessionTime

    training_class = factory.SubFactory(TrainingClassFactory)
    start_at = factory.SelfAttribute("training_class.start_at")
    end_at = factory.LazyAttribute(lambda session: session.start_at + timedelta(hours=8))


class ClassEnrollmentFactory(Factory[models.ClassEnrollment]):
    """An enrolled learner of the class's organization."""

    class Meta:
        model = models.ClassEnrollment

    training_class = factory.SubFactory(TrainingClassFactory)
    user = factory.SubFactory(UserFactory, organization=factory.SelfAttribute("..training_class.organization"))
    external_id = factory.Sequence(lambda number: f"ENR-{number:06}")
    enrollment_status_id = EnrollmentStatus.ENROLLED


class SubscriptionProfileFactory(Factory[models.SubscriptionProfile]):
    class Meta:
        model = models.SubscriptionProfile

    name = "All cloud courses"
    organization = factory.SubFactory(OrganizationFactory)
    price = Decimal("990.00")


class SubscriptionAssignmentFactory(Factory[models.SubscriptionAssignment]):
    """A subscription that has just begun."""

    class Meta:
        model = models.SubscriptionAssignment

    profile = factory.SubFactory(SubscriptionProfileFactory)
    user = factory.SubFactory(UserFactory, organization=factory.SelfAttribute("..profile.organization"))
    external_id = factory.Sequence(lambda number: f"SUB-{number:06}")
    starts_at = factory.LazyFunction(timezone.now)
    expires_at = factory.LazyAttribute(
        lambda subscription: subscription.starts_at + timedelta(days=subscription.profile.duration_days)
    )


class CourseAssignmentFactory(Factory[models.CourseAssignment]):
    """A course that was just assigned, not started, to be finished within 180 days."""

    class Meta:
        model = models.CourseAssignment

    course = factory.SubFactory(CourseFactory)
    user = factory.SubFactory(UserFactory, organization=factory.SelfAttribute("..course.organization"))
    external_id = factory.Sequence(lambda number: f"ASG-{number:06}")
    subscription = None
    payment_type = factory.LazyAttribute(
        lambda assignment: f"Subscription ({assignment.subscription.profile})" if assignment.subscription else ""
    )
    created = factory.LazyFunction(timezone.now)
    expires_at = factory.LazyAttribute(lambda assignment: assignment.created + models.ASSIGNMENT_LIFETIME)


class LearningPathFactory(Factory[models.LearningPath]):
    """A path without courses; `LearningPathCourseFactory` adds them."""

    class Meta:
        model = models.LearningPath

    name = "Cloud administrator"
    organization = factory.SubFactory(OrganizationFactory)
    audience_level = AudienceLevel.INTERMEDIATE


class LearningPathCourseFactory(Factory[models.LearningPathCourse]):
    class Meta:
        model = models.LearningPathCourse

    learning_path = factory.SubFactory(LearningPathFactory)
    course = factory.SubFactory(CourseFactory, organization=factory.SelfAttribute("..learning_path.organization"))
    position = factory.Sequence(lambda number: number)


class AchievementFactory(Factory[models.Achievement]):
    class Meta:
        model = models.Achievement

    name = "Lab explorer"
    description = "Finished a course with labs."
    conditions = factory.LazyFunction(lambda: [{"Subject": 10, "Count": 1, "Complete": True}])
    organization = factory.SubFactory(OrganizationFactory)
    points = 50


class UserAchievementFactory(Factory[models.UserAchievement]):
    class Meta:
        model = models.UserAchievement

    achievement = factory.SubFactory(AchievementFactory)
    user = factory.SubFactory(UserFactory, organization=factory.SelfAttribute("..achievement.organization"))
    points = factory.SelfAttribute("achievement.points")
    earned_at = factory.LazyFunction(timezone.now)


class VoucherFactory(Factory[models.Voucher]):
    """An unused voucher, bought just now, good for 90 days."""

    class Meta:
        model = models.Voucher

    order_id = factory.Sequence(lambda number: f"ORD-{number:06}")
    course = factory.SubFactory(CourseFactory, organization=factory.SelfAttribute("..organization"))
    organization = factory.SubFactory(OrganizationFactory)
    purchased_at = factory.LazyFunction(timezone.now)
    expires_at = factory.LazyAttribute(lambda voucher: voucher.purchased_at + models.VOUCHER_LIFETIME)


class CourseFeedbackFactory(Factory[models.CourseFeedback]):
    """Praise for a self-paced course; pass ``class_enrollment`` and no ``course_assignment`` to praise a class."""

    class Meta:
        model = models.CourseFeedback

    class_enrollment = None
    course_assignment = factory.Maybe(
        "class_enrollment", yes_declaration=None, no_declaration=factory.SubFactory(CourseAssignmentFactory)
    )
    course = factory.LazyAttribute(
        lambda said: (
            said.class_enrollment.training_class.course if said.class_enrollment else said.course_assignment.course
        )
    )
    user = factory.LazyAttribute(lambda said: (said.class_enrollment or said.course_assignment).user)
    title = factory.Faker("random_element", elements=["Well explained", "The labs made it stick", "Worth the time"])
    content = "I could use it at work the next day."
    positive = True
    submitted_at = factory.LazyFunction(timezone.now)
