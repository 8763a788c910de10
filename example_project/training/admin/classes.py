from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet, URLField
from django.http import HttpRequest
from django.utils import timezone

from example_project.training.admin.actions import confirmed
from example_project.training.admin.scope import ScopedAdmin, ScopedInline
from example_project.training.choices import EnrollmentStatus
from example_project.training.models import ClassEnrollment, Classroom, SessionTime, TrainingClass


class EnrollmentInline(ScopedInline):
    """The roster, on the class's page."""

    model = ClassEnrollment
    extra = 0
    fields = [
        "user",
        "enrollment_status_id",
        "completion_status_id",
        "location_type_id",
        "late_cancel",
        "grade",
        "hours_spent",
    ]
    autocomplete_fields = ["user"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ClassEnrollment]:
        """Read the learners along with the roster, which names each of them."""
        return super().get_queryset(request).select_related("user", "training_class")


class SessionInline(ScopedInline):
    """The sessions, on the class's page."""

    model = SessionTime
    extra = 0
    fields = ["start_at", "end_at"]


@admin.register(TrainingClass)
class TrainingClassAdmin(ScopedAdmin):
    """Classes with their rosters."""

    date_hierarchy = "start_at"
    list_display = [
        "name",
        "confirmation_status_id",
        "start_at",
        "end_at",
        "organization",
        "primary_instructor",
        "seats",
    ]
    list_filter = ["confirmation_status_id", "delivery_type_id", "organization", "course"]
    list_select_related = ["organization", "primary_instructor"]
    search_fields = ["name", "external_id", "course__name"]
    autocomplete_fields = [
        "course",
        "organization",
        "company",
        "primary_instructor",
        "instructors",
        "primary_classroom",
        "requested_by",
    ]
    formfield_overrides = {URLField: {"assume_scheme": "https"}}
    inlines = [SessionInline, EnrollmentInline]
    actions = [
        confirmed(TrainingClass.schedule, label="Schedule"),
        confirmed(TrainingClass.guarantee, label="Guarantee"),
        confirmed(TrainingClass.cancel, label="Cancel"),
        confirmed(lambda one: one.complete(at=timezone.now()), label="Complete"),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[TrainingClass]:
        """Count the taken seats along with the classes, not one by one."""
        enrolled = Q(enrollments__enrollment_status_id=EnrollmentStatus.ENROLLED)
        return super().get_queryset(request).annotate(taken=Count("enrollments", filter=enrolled))

    @admin.display(ordering="taken")
    def seats(self, obj: Any) -> str:
        """Show taken seats of all seats."""
        return f"{obj.taken} of {obj.max_students}"


@admin.register(ClassEnrollment)
class ClassEnrollmentAdmin(ScopedAdmin):
    """Enrollments of all classes."""

    organization_path = "training_class__organization"
    list_display = ["user", "enrollment_status_id", "completion_status_id", "grade", "training_class", "last_modified"]
    list_filter = ["enrollment_status_id", "completion_status_id", "late_cancel", "training_class__organization"]
    list_select_related = ["user", "training_class"]
    search_fields = [
        "external_id",
        "user__first_name",
        "user__last_name",
        "user__email",
        "training_class__name",
    ]
    autocomplete_fields = ["user", "training_class", "classroom"]
    actions = [
        confirmed(ClassEnrollment.approve, label="Approve"),
        confirmed(ClassEnrollment.deny, label="Deny"),
        confirmed(ClassEnrollment.enroll, label="Enroll"),
        confirmed(ClassEnrollment.waitlist, label="Wait-list"),
        confirmed(ClassEnrollment.cancel, label="Cancel"),
        confirmed(ClassEnrollment.complete, label="Complete"),
        confirmed(ClassEnrollment.mark_no_show, label="Mark as no-show"),
    ]


@admin.register(Classroom)
class ClassroomAdmin(ScopedAdmin):
    """The rooms."""

    list_display = ["name", "city", "organization", "seats"]
    list_filter = ["organization", "city"]
    list_select_related = ["organization"]
    search_fields = ["name", "city"]
    autocomplete_fields = ["organization"]


@admin.register(SessionTime)
class SessionTimeAdmin(ScopedAdmin):
    """Sessions of all classes."""

    organization_path = "training_class__organization"
    date_hierarchy = "start_at"
    list_display = ["training_class", "start_at", "end_at"]
    list_filter = ["training_class__organization"]
    list_select_related = ["training_class"]
    search_fields = ["training_class__name"]
    autocomplete_fields = ["training_class"]
