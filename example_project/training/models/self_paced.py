"""Self-paced training: courses assigned to learners, one by one or by subscription."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.core.validators import MinValueValidator
from django.db import models

from example_project.training.choices import AssignmentCompletion, AssignmentStatus
from example_project.training.exceptions import RefusedError
from example_project.training.models.base import Record, external_id_field
from example_project.training.models.courses import Activity, Course
from example_project.training.models.organizations import Organization
from example_project.training.models.people import User

ASSIGNMENT_LIFETIME = timedelta(days=180)


class SubscriptionProfile(Record):
    """What a subscription offers: these courses, for this many days. The API calls it a club."""

    name = models.CharField(max_length=150)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="subscription_profiles")
    courses = models.ManyToManyField(Course, blank=True, related_name="subscription_profiles")
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0, validators=[MinValueValidator(0)])
    duration_days = models.PositiveSmallIntegerField(default=365, validators=[MinValueValidator(1)])
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def subscribe(self, user: User, *, at: datetime, external_id: str | None = None) -> SubscriptionAssignment:
        """Give ``user`` this subscription from ``at`` on, for as long as the profile says."""
        expires_at = at + timedelta(days=self.duration_days)
        return self.assignments.create(
            user=user, starts_at=at, expires_at=expires_at, external_id=external_id, created=at
        )


class SubscriptionAssignment(Record):
    """One learner's subscription. The API calls it a club membership."""

    external_id = external_id_field()
    profile = models.ForeignKey(SubscriptionProfile, on_delete=models.PROTECT, related_name="assignments")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="subscriptions")
    starts_at = models.DateTimeField("starts")
    expires_at = models.DateTimeField("expires", null=True, blank=True, db_index=True)
    target_completion = models.DateTimeField(null=True, blank=True, help_text="A wish; it ends no access.")
    cancelled_at = models.DateTimeField("cancelled", null=True, blank=True)

    class Meta:
        ordering = ["-starts_at", "pk"]

    def __str__(self) -> str:
        return f"{self.profile} for {self.user}"

    def extend(self, *, expires_at: datetime) -> None:
        """Let the subscription end at another time."""
        self.expires_at = expires_at
        self.save_fields("expires_at")

    def cancel(self, *, at: datetime) -> None:
        """End the subscription before its time. Raises `RefusedError` if it is cancelled."""
        if self.cancelled_at is not None:
            raise RefusedError(f"{self} was cancelled.")
        self.cancelled_at = at
        self.save_fields("cancelled_at")

    def resume(self) -> None:
        """Take the cancellation back."""
        self.cancelled_at = None
        self.save_fields("cancelled_at")


class CourseAssignment(Record):
    """One course that one learner is to take alone. The same learner may be given the same course again."""

    external_id = external_id_field()
    course = models.ForeignKey(Course, on_delete=models.PROTECT, related_name="assignments")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="assignments")
    subscription = models.ForeignKey(
        SubscriptionAssignment,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="course_assignments",
        help_text="What paid for it, if a subscription did.",
    )
    payment_type = models.CharField(max_length=200, blank=True, help_text="How it was paid for.")
    assignment_status = models.PositiveSmallIntegerField(
        "status", choices=AssignmentStatus.choices, default=AssignmentStatus.ACTIVE
    )
    started_at = models.DateTimeField("started", null=True, blank=True)
    completed_at = models.DateTimeField("completed", null=True, blank=True)
    expires_at = models.DateTimeField("expires", null=True, blank=True)
    target_completion = models.DateTimeField(null=True, blank=True, help_text="A wish; it ends no access.")

    class Meta:
        ordering = ["-created", "pk"]
        indexes = [models.Index(fields=["expires_at"], name="assignment_expires_at")]

    def __str__(self) -> str:
        return f"{self.course} for {self.user}"

    @classmethod
    def assign(
        cls,
        course: Course,
        user: User,
        *,
        at: datetime,
        subscription: SubscriptionAssignment | None = None,
        payment_type: str = "",
        external_id: str | None = None,
    ) -> CourseAssignment:
        """Give ``user`` the course from ``at`` on, for 180 days or until the subscription ends, if that is sooner."""
        expires_at = at + ASSIGNMENT_LIFETIME
        if subscription is not None and subscription.expires_at is not None:
            expires_at = min(expires_at, subscription.expires_at)
        return cls.objects.create(
            course=course,
            user=user,
            subscription=subscription,
            payment_type=payment_type or (f"Subscription ({subscription.profile})" if subscription else ""),
            expires_at=expires_at,
            external_id=external_id,
            created=at,
        )

    @property
    def completion_status(self) -> AssignmentCompletion:
        """How far the learner is, which follows from the dates."""
        if self.completed_at is not None:
            return AssignmentCompletion.COMPLETE
        if self.started_at is not None:
            return AssignmentCompletion.INCOMPLETE
        return AssignmentCompletion.NOT_STARTED

    def is_expired(self, at: datetime) -> bool:
        """Return whether the learner's access has ended by ``at``."""
        return self.expires_at is not None and self.expires_at <= at

    def start(self, *, at: datetime) -> None:
        """Note the first launch; a later one changes nothing. Raises `RefusedError` if cancelled or expired."""
        self._refuse_without_access(at)
        if self.started_at is None:
            self.started_at = at
            self.save_fields("started_at")

    def work_on(
        self, activity: Activity, *, at: datetime, done: bool = False, score: float | None = None
    ) -> ActivityResult:
        """Note how far the learner is with one activity; the first one starts the course.

        Raises `RefusedError` if cancelled or expired, and for an activity of another course.
        """
        if activity.course_id != self.course_id:
            raise RefusedError(f"{activity} is no part of {self.course}.")
        self.start(at=at)
        result, _created = self.results.update_or_create(
            activity=activity, defaults={"score": score, **({"completed_at": at} if done else {})}
        )
        return result

    def complete(self, *, at: datetime) -> None:
        """Note that the learner finished. Raises `RefusedError` if cancelled, expired or completed."""
        self._refuse_without_access(at)
        if self.completed_at is not None:
            raise RefusedError(f"{self} is completed.")
        self.completed_at = at
        self.save_fields("completed_at")

    def extend(self, *, expires_at: datetime | None) -> None:
        """Let the access end at another time, or never. An expired assignment comes back to life by it."""
        self.expires_at = expires_at
        self.save_fields("expires_at")

    def reopen(self) -> None:
        """Take the completion or the cancellation back."""
        self.completed_at, self.assignment_status = None, AssignmentStatus.ACTIVE
        self.save_fields("completed_at", "assignment_status")

    def cancel(self) -> None:
        """Take the course away from the learner. Raises `RefusedError` if completed or cancelled."""
        if self.completed_at is not None:
            raise RefusedError(f"{self} can't be cancelled: it is completed.")
        if self.assignment_status == AssignmentStatus.CANCELLED:
            raise RefusedError(f"{self} was cancelled.")
        self.assignment_status = AssignmentStatus.CANCELLED
        self.save_fields("assignment_status")

    def _refuse_without_access(self, at: datetime) -> None:
        if self.assignment_status == AssignmentStatus.CANCELLED:
            raise RefusedError(f"{self} was cancelled.")
        if self.is_expired(at):
            raise RefusedError(f"{self} has expired.")


class ActivityResult(models.Model):
    """How far one learner is with one activity of an assigned course, from the first launch on."""

    assignment = models.ForeignKey(CourseAssignment, on_delete=models.CASCADE, related_name="results")
    activity = models.ForeignKey(Activity, on_delete=models.CASCADE, related_name="results")
    completed_at = models.DateTimeField("completed", null=True, blank=True)
    score = models.FloatField(null=True, blank=True)

    class Meta:
        ordering = ["assignment", "activity"]
        constraints = [models.UniqueConstraint(fields=["assignment", "activity"], name="result_once_per_activity")]

    def __str__(self) -> str:
        return f"{self.activity} of {self.assignment}"
