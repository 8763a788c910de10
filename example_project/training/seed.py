"""Sample data: a few organizations, each with people, courses and training in progress."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import Group
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from factory.random import reseed_random

from example_project.training import factories
from example_project.training.apps import GROUPS
from example_project.training.choices import EnrollmentStatus
from example_project.training.models import (
    Achievement,
    ClassEnrollment,
    Company,
    Course,
    CourseAssignment,
    LearningPath,
    Organization,
    SubscriptionAssignment,
    SubscriptionProfile,
    TrainingClass,
    User,
    Voucher,
)

SEED = "training"


@dataclass(frozen=True, slots=True)
class People:
    """Who there is in one organization."""

    administrator: User
    """Staff, in both groups of administrators; manages the organization and its branch."""
    customer: User
    """Not staff; manages the organization's webhooks on the customers' site."""
    instructor: User
    learners: tuple[User, ...]
    """Four; the last one belongs to the branch and to the company."""


@dataclass(frozen=True, slots=True)
class Classes:
    """A class that starts next Monday, and who wants to be in it."""

    training_class: TrainingClass
    """Scheduled."""
    enrolled: ClassEnrollment
    waitlisted: ClassEnrollment
    requested: ClassEnrollment


@dataclass(frozen=True, slots=True)
class SelfPaced:
    """A subscription, and course assignments at each stage."""

    profile: SubscriptionProfile
    subscription: SubscriptionAssignment
    """The first learner's."""
    completed: CourseAssignment
    """The first learner's, of the path's first course, under the subscription."""
    last_of_path: CourseAssignment
    """The first learner's, started, of the path's last course: completing it completes the path."""
    not_started: CourseAssignment
    """The second learner's."""
    expiring: CourseAssignment
    """The third learner's, started, with five days left."""
    learning_path: LearningPath


@dataclass(frozen=True, slots=True)
class Tenant:
    """One organization and all that is in it."""

    organization: Organization
    branch: Organization
    """The one organization below it."""
    company: Company
    people: People
    courses: tuple[Course, ...]
    """Three; the path leads through the first two."""
    classes: Classes
    self_paced: SelfPaced
    achievement: Achievement
    """Not earned by any learner yet."""
    voucher: Voucher
    """Unused, for the course of the class."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything that `seed` made."""

    now: datetime
    """The moment all dates are relative to."""
    operator: User
    """A superuser who belongs to no organization."""
    tenants: tuple[Tenant, ...]

    @property
    def organizations(self) -> tuple[Organization, ...]:
        """Return the organizations at the top of their trees."""
        return tuple(tenant.organization for tenant in self.tenants)

    def accounts(self) -> list[tuple[str, str, str]]:
        """Return the accounts that can sign in: user name, role and the path of their first page."""
        admin, customers = reverse("admin:index"), reverse("tms_webhooks_customers:index")
        found = [(self.operator.username, "operator of all organizations", admin)]
        for tenant in self.tenants:
            name, people = tenant.organization.name, tenant.people
            found.append((people.administrator.username, f"administrator of {name}", admin))
            found.append((people.customer.username, f"webhooks of {name}", customers))
        return found


@transaction.atomic
def seed(*, organizations: int = 2, now: datetime | None = None, password: str | None = None) -> World:
    """Make a world of this many organizations; all of it or nothing.

    Dates are relative to ``now``, which is the present if left out. The operator, the administrators and the customers sign in with
    ``password``; without it, sign-in is not possible. Seeding again adds more organizations and keeps the operator as they are.
    """
    now = now or timezone.now()
    reseed_random(SEED)
    tenants = tuple(_make_tenant(now, password) for _ in range(organizations))
    operator = User.objects.filter(username="operator").first() or factories.UserFactory(
        username="operator", organization=None, is_staff=True, is_superuser=True, password=password
    )
    return World(now=now, operator=operator, tenants=tenants)


def _make_tenant(now: datetime, password: str | None) -> Tenant:
    organization = factories.OrganizationFactory()
    branch = factories.OrganizationFactory(name=f"{organization.name} West", parent=organization)
    company = factories.CompanyFactory(organization=branch)
    people = _make_people(organization, branch, company, password)
    courses = tuple(factories.CourseFactory.create_batch(3, organization=organization))
    for course in courses:
        for position in (1, 2):
            factories.ActivityFactory(course=course, position=position)
    return Tenant(
        organization=organization,
        branch=branch,
        company=company,
        people=people,
        courses=courses,
        classes=_make_classes(now, organization, people, courses[0]),
        self_paced=_make_self_paced(now, organization, people, courses),
        achievement=factories.AchievementFactory(organization=organization),
        voucher=factories.VoucherFactory(organization=organization, course=courses[0], purchased_at=now),
    )


def _make_people(organization: Organization, branch: Organization, company: Company, password: str | None) -> People:
    administrator = factories.UserFactory(
        organization=organization, title="Training administrator", is_staff=True, password=password
    )
    administrator.managed_organizations.add(organization)
    administrator.groups.set(Group.objects.filter(name__in=GROUPS.values()))
    instructor = factories.UserFactory(organization=organization, title="Instructor")
    department = factories.DepartmentFactory(organization=organization, name="Engineering")
    learners = (
        *factories.UserFactory.create_batch(
            3, organization=organization, manager=administrator, department=department, cost_center="4711"
        ),
        factories.UserFactory(organization=branch, company=company, manager=administrator),
    )
    for name, users in {"Administrator": (administrator,), "Instructor": (instructor,), "Student": learners}.items():
        role = factories.RoleFactory(name=name)
        for user in users:
            user.roles.add(role)
    customer = factories.UserFactory(organization=organization, title="Integration manager", password=password)
    customer.managed_organizations.add(organization)
    return People(administrator=administrator, customer=customer, instructor=instructor, learners=learners)


def _make_classes(now: datetime, organization: Organization, people: People, course: Course) -> Classes:
    training_class = factories.TrainingClassFactory(
        organization=organization,
        course=course,
        primary_instructor=people.instructor,
        primary_classroom=factories.ClassroomFactory(organization=organization),
        start_at=factories.next_monday(now),
        max_students=12,
        requested_by=people.administrator,
    )
    for day in range(int(course.duration)):
        start_at = training_class.start_at + timedelta(days=day)
        factories.SessionTimeFactory(training_class=training_class, start_at=start_at)
    training_class.instructors.add(people.instructor)
    statuses = (EnrollmentStatus.ENROLLED, EnrollmentStatus.WAITLISTED, EnrollmentStatus.REQUESTED)
    enrolled, waitlisted, requested = (
        factories.ClassEnrollmentFactory(
            training_class=training_class, user=learner, enrollment_status_id=status, purchase_order="PO-2026-118"
        )
        for learner, status in zip(people.learners[1:], statuses, strict=True)
    )
    return Classes(training_class=training_class, enrolled=enrolled, waitlisted=waitlisted, requested=requested)


def _make_self_paced(
    now: datetime, organization: Organization, people: People, courses: tuple[Course, ...]
) -> SelfPaced:
    first, second, third, _ = people.learners
    month_ago, week_ago = now - timedelta(days=30), now - timedelta(days=7)
    profile = factories.SubscriptionProfileFactory(organization=organization)
    profile.courses.set(courses)
    learning_path = factories.LearningPathFactory(organization=organization)
    learning_path.subscription_profiles.add(profile)
    for position, course in enumerate(courses[:2], start=1):
        factories.LearningPathCourseFactory(learning_path=learning_path, course=course, position=position)
    subscription = factories.SubscriptionAssignmentFactory(profile=profile, user=first, starts_at=month_ago)
    assign = factories.CourseAssignmentFactory
    return SelfPaced(
        profile=profile,
        subscription=subscription,
        completed=assign(
            course=courses[0],
            user=first,
            subscription=subscription,
            created=month_ago,
            started_at=month_ago,
            completed_at=week_ago,
        ),
        last_of_path=assign(
            course=courses[1], user=first, subscription=subscription, created=month_ago, started_at=week_ago
        ),
        not_started=assign(course=courses[0], user=second, created=week_ago),
        expiring=assign(
            course=courses[2],
            user=third,
            created=month_ago,
            started_at=week_ago,
            expires_at=now + timedelta(days=5),
        ),
        learning_path=learning_path,
    )
