"""Instructor-led training: classes, the rooms they are held in, and who is enrolled."""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models, transaction
from django.utils import timezone

from example_project.training.choices import (
    CompletionStatus,
    ConfirmationStatus,
    DeliveryType,
    EnrollmentStatus,
    LocationType,
)
from example_project.training.exceptions import RefusedError
from example_project.training.models.base import Record, external_id_field
from example_project.training.models.courses import Course
from example_project.training.models.organizations import Company, Organization
from example_project.training.models.people import User

OVER = {ConfirmationStatus.CANCELLED, ConfirmationStatus.DENIED, ConfirmationStatus.COMPLETED}
"""The statuses that end a class."""

UNDECIDED = {EnrollmentStatus.REQUESTED, EnrollmentStatus.WAITLISTED}
"""The statuses of an enrollment that can be approved or denied."""


class Classroom(models.Model):
    """A room that an organization holds classes in."""

    name = models.CharField(max_length=100)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="classrooms")
    address1 = models.CharField("address", max_length=100, blank=True)
    address2 = models.CharField("address, second line", max_length=100, blank=True)
    city = models.CharField(max_length=50, blank=True)
    state = models.CharField(max_length=50, blank=True)
    zip = models.CharField("ZIP code", max_length=20, blank=True)
    country_code = models.CharField(max_length=2, blank=True)
    seats = models.PositiveSmallIntegerField(default=16)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name}, {self.city}" if self.city else self.name


class TrainingClass(Record):
    """One run of a course, at a time and place."""

    external_id = external_id_field()
    name = models.CharField(max_length=150)
    description = models.TextField(blank=True)
    enabled = models.BooleanField(default=True)
    confirmation_status_id = models.PositiveSmallIntegerField(
        "status", choices=ConfirmationStatus.choices, default=ConfirmationStatus.SCHEDULED
    )
    course = models.ForeignKey(Course, on_delete=models.PROTECT, related_name="classes")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="classes")
    company = models.ForeignKey(
        Company,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="classes",
        help_text="Only for a class that is dedicated to one company.",
    )
    delivery_type_id = models.PositiveSmallIntegerField(
        "delivery type", choices=DeliveryType.choices, default=DeliveryType.PHYSICAL
    )
    primary_instructor = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="classes_led"
    )
    instructors = models.ManyToManyField(
        User, blank=True, related_name="classes_taught", help_text="All who teach the class, the primary one included."
    )
    primary_classroom = models.ForeignKey(
        Classroom, on_delete=models.SET_NULL, null=True, blank=True, related_name="classes"
    )
    custom_virtual_classroom_url = models.URLField("virtual classroom URL", blank=True)
    start_at = models.DateTimeField("start")
    end_at = models.DateTimeField("end")
    time_zone_id = models.CharField("time zone", max_length=50, default="UTC")
    requested_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="classes_requested"
    )
    min_students = models.PositiveSmallIntegerField(default=0)
    max_students = models.PositiveSmallIntegerField(default=16)
    allow_self_enrollment = models.BooleanField(default=False)
    is_public = models.BooleanField(default=False)

    class Meta:
        ordering = ["-start_at", "pk"]
        verbose_name = "class"
        verbose_name_plural = "classes"
        constraints = [
            models.CheckConstraint(condition=models.Q(end_at__gt=models.F("start_at")), name="class_ends_after_start"),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse to complete a class that has not started."""
        super().clean()
        early = self.start_at is not None and self.start_at > timezone.now()
        if early and self.confirmation_status_id == ConfirmationStatus.COMPLETED:
            raise ValidationError({"confirmation_status_id": "A class can't be completed before it starts."})

    @property
    def num_enroll(self) -> int:
        """How many of the seats are taken; an auditor takes none."""
        return self.enrollments.filter(enrollment_status_id=EnrollmentStatus.ENROLLED).count()

    @property
    def num_open(self) -> int:
        """How many seats are left."""
        return max(self.max_students - self.num_enroll, 0)

    def register(self, user: User, *, external_id: str | None = None) -> ClassEnrollment:
        """Give ``user`` a seat, or a place on the waiting list where none is left."""
        status = EnrollmentStatus.ENROLLED if self.num_open else EnrollmentStatus.WAITLISTED
        return self.enrollments.create(user=user, external_id=external_id, enrollment_status_id=status)

    def _set_status(self, status: ConfirmationStatus) -> None:
        self.confirmation_status_id = status
        self.save_fields("confirmation_status_id")

    def request(self) -> None:
        """Ask for the class to be held."""
        self._set_status(ConfirmationStatus.REQUESTED)

    def deny(self) -> None:
        """Turn the request down."""
        self._set_status(ConfirmationStatus.DENIED)

    def mark_tentative(self) -> None:
        """Keep the dates free without a promise."""
        self._set_status(ConfirmationStatus.TENTATIVE)

    def schedule(self) -> None:
        """Put the class on the calendar."""
        self._set_status(ConfirmationStatus.SCHEDULED)

    def guarantee(self) -> None:
        """Promise that the class runs, however few come."""
        self._set_status(ConfirmationStatus.GUARANTEED_TO_RUN)

    def cancel(self) -> None:
        """Call the class off. Its enrollments stay as they are: staff moves the learners.

        Raises `RefusedError` if it is over, as a completed, denied or cancelled class is.
        """
        self._refuse_if_over("cancelled")
        self._set_status(ConfirmationStatus.CANCELLED)

    def complete(self, *, at: datetime) -> None:
        """Close the class. The enrollment shows whether a learner passed.

        Raises `RefusedError` if it is over, and if it starts after ``at``.
        """
        self._refuse_if_over("completed")
        if at < self.start_at:
            raise RefusedError(f"{self} can't be completed before it starts, on {self.start_at:%Y-%m-%d at %H:%M %Z}.")
        self._set_status(ConfirmationStatus.COMPLETED)

    def _refuse_if_over(self, verb: str) -> None:
        status = ConfirmationStatus(self.confirmation_status_id)
        if status in OVER:
            raise RefusedError(f"{self} can't be {verb}: its status is {status.label}.")

    def reschedule(self, start_at: datetime, end_at: datetime) -> None:
        """Move the class to other dates and say so in its status."""
        self.start_at, self.end_at = start_at, end_at
        self.confirmation_status_id = ConfirmationStatus.RESCHEDULED
        self.save_fields("start_at", "end_at", "confirmation_status_id")

    @transaction.atomic
    def plan_sessions(self, *sessions: tuple[datetime, datetime]) -> None:
        """Hold the class in these sessions, each with its start and end, instead of those it has."""
        self.session_times.all().delete()
        SessionTime.objects.bulk_create(
            SessionTime(training_class=self, start_at=start_at, end_at=end_at) for start_at, end_at in sessions
        )
        if sessions:
            self.start_at, self.end_at = min(sessions)[0], max(end_at for _start_at, end_at in sessions)
            self.save_fields("start_at", "end_at")

    def assign_instructor(self, instructor: User | None) -> None:
        """Let another person teach the class, or leave it without an instructor."""
        self.primary_instructor = instructor
        self.save_fields("primary_instructor")

    def move_to(self, classroom: Classroom | None) -> None:
        """Hold the class in another room, or in none."""
        self.primary_classroom = classroom
        self.save_fields("primary_classroom")


class SessionTime(models.Model):
    """One of the sessions that a class is held in."""

    training_class = models.ForeignKey(
        TrainingClass, on_delete=models.CASCADE, related_name="session_times", verbose_name="class"
    )
    start_at = models.DateTimeField("start")
    end_at = models.DateTimeField("end")

    class Meta:
        ordering = ["training_class", "start_at"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(end_at__gt=models.F("start_at")), name="session_ends_after_start"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.start_at:%Y-%m-%d %H:%M} to {self.end_at:%Y-%m-%d %H:%M}"


class ClassEnrollment(Record):
    """A learner's place in a class. One learner may hold two in the same class."""

    external_id = external_id_field()
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="enrollments")
    training_class = models.ForeignKey(
        TrainingClass, on_delete=models.CASCADE, related_name="enrollments", verbose_name="class"
    )
    enrollment_status_id = models.PositiveSmallIntegerField(
        "status", choices=EnrollmentStatus.choices, default=EnrollmentStatus.REQUESTED
    )
    completion_status_id = models.PositiveSmallIntegerField(
        "completion", choices=CompletionStatus.choices, default=CompletionStatus.UNKNOWN
    )
    late_cancel = models.BooleanField(default=False)
    retake = models.BooleanField(default=False)
    hours_spent = models.PositiveSmallIntegerField(null=True, blank=True)
    grade = models.PositiveSmallIntegerField(null=True, blank=True, validators=[MaxValueValidator(100)])
    location_type_id = models.PositiveSmallIntegerField(
        "location", choices=LocationType.choices, default=LocationType.TO_BE_DETERMINED
    )
    classroom = models.ForeignKey(
        Classroom, on_delete=models.SET_NULL, null=True, blank=True, related_name="enrollments"
    )
    purchase_order = models.CharField(max_length=30, blank=True, help_text="The number that the customer pays by.")

    class Meta:
        ordering = ["training_class", "pk"]

    def __str__(self) -> str:
        return f"{self.user} in {self.training_class}"

    def _set_status(self, status: EnrollmentStatus) -> None:
        self.enrollment_status_id = status
        self.save_fields("enrollment_status_id")

    def request(self) -> None:
        """Ask for a seat."""
        self._set_status(EnrollmentStatus.REQUESTED)

    def waitlist(self) -> None:
        """Put the learner on the waiting list."""
        self._set_status(EnrollmentStatus.WAITLISTED)

    def approve(self) -> None:
        """Allow the enrollment, which is yet to be made. Raises `RefusedError` unless it is requested or wait-listed."""
        self._refuse_if_decided("approved")
        self._set_status(EnrollmentStatus.APPROVED)

    def deny(self) -> None:
        """Refuse the seat. Raises `RefusedError` unless it is requested or wait-listed."""
        self._refuse_if_decided("denied")
        self._set_status(EnrollmentStatus.DENIED)

    def _refuse_if_decided(self, verb: str) -> None:
        status = EnrollmentStatus(self.enrollment_status_id)
        if status not in UNDECIDED:
            raise RefusedError(f"{self} can't be {verb}: the status is {status.label}, not Requested or Wait-listed.")

    def audit(self) -> None:
        """Let the learner listen without taking a seat."""
        self._set_status(EnrollmentStatus.AUDIT)

    def enroll(self) -> None:
        """Give the learner a seat."""
        self._set_status(EnrollmentStatus.ENROLLED)

    def cancel(self, *, late: bool = False) -> None:
        """Give the seat up; ``late`` if it was inside the organization's late-cancel window."""
        self.late_cancel = late
        self.enrollment_status_id = EnrollmentStatus.CANCELLED
        self.save_fields("late_cancel", "enrollment_status_id")

    def move_to(self, training_class: TrainingClass) -> None:
        """Move the learner to another class."""
        self.training_class = training_class
        self.save_fields("training_class")

    def _set_completion(self, status: CompletionStatus, grade: int | None = None) -> None:
        if self.enrollment_status_id != EnrollmentStatus.ENROLLED:
            raise RefusedError(f"{self} has no result: the learner isn't enrolled.")
        self.completion_status_id = status
        self.grade = self.grade if grade is None else grade
        self.save_fields("completion_status_id", "grade")

    def attend(self) -> None:
        """Note that the learner came. Raises `RefusedError` if not enrolled, as do the four below."""
        self._set_completion(CompletionStatus.ATTENDING)

    def complete(self, *, grade: int | None = None) -> None:
        """Note that the learner finished, with a grade of 0 to 100 if there is one."""
        self._set_completion(CompletionStatus.COMPLETE, grade)

    def mark_incomplete(self) -> None:
        """Note that the learner left before the end."""
        self._set_completion(CompletionStatus.INCOMPLETE)

    def mark_no_show(self) -> None:
        """Note that the learner never came."""
        self._set_completion(CompletionStatus.NO_SHOW)

    def fail(self, *, grade: int | None = None) -> None:
        """Note that the learner did not pass, with a grade of 0 to 100 if there is one."""
        self._set_completion(CompletionStatus.FAILED, grade)
