from __future__ import annotations

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from example_project.training.admin.actions import confirmed
from example_project.training.admin.scope import ScopedAdmin
from example_project.training.choices import AssignmentCompletion
from example_project.training.models import (
    ActivityResult,
    CourseAssignment,
    SubscriptionAssignment,
    SubscriptionProfile,
)

WITH_COMPLETION = {
    AssignmentCompletion.NOT_STARTED: Q(started_at=None, completed_at=None),
    AssignmentCompletion.INCOMPLETE: Q(started_at__isnull=False, completed_at=None),
    AssignmentCompletion.COMPLETE: Q(completed_at__isnull=False),
}


class CompletionFilter(admin.SimpleListFilter):
    """Filter by a status that no column holds."""

    title = "completion"
    parameter_name = "completion"

    def lookups(
        self,
        request: HttpRequest,
        model_admin: admin.ModelAdmin,
    ) -> list[tuple[str, str]]:
        """Return what can be chosen."""
        return [(str(status.value), str(status.label)) for status in AssignmentCompletion]

    def queryset(
        self,
        request: HttpRequest,
        queryset: QuerySet[CourseAssignment],
    ) -> QuerySet[CourseAssignment]:
        """Return the assignments that are as far as was chosen."""
        chosen = next((status for status in AssignmentCompletion if str(status.value) == self.value()), None)
        return queryset if chosen is None else queryset.filter(WITH_COMPLETION[chosen])


@admin.register(CourseAssignment)
class CourseAssignmentAdmin(ScopedAdmin):
    """Courses that learners take alone."""

    organization_path = "user__organization"
    date_hierarchy = "expires_at"
    list_display = ["course", "user", "completion", "assignment_status", "started_at", "completed_at", "expires_at"]
    list_filter = [CompletionFilter, "assignment_status", "user__organization", "course"]
    list_select_related = ["course", "user"]
    search_fields = ["external_id", "course__name", "user__first_name", "user__last_name", "user__email"]
    autocomplete_fields = ["course", "user", "subscription"]
    readonly_fields = ["completion", "created", "last_modified"]
    actions = [
        confirmed(lambda assignment: assignment.start(at=timezone.now()), label="Start"),
        confirmed(lambda assignment: assignment.complete(at=timezone.now()), label="Complete"),
        confirmed(CourseAssignment.cancel, label="Cancel"),
    ]

    @admin.display
    def completion(self, obj: CourseAssignment) -> str:
        """Show the status that follows from the dates."""
        return str(obj.completion_status.label)


@admin.register(ActivityResult)
class ActivityResultAdmin(ScopedAdmin):
    """How far learners are with the activities of a course."""

    organization_path = "assignment__user__organization"
    list_display = ["assignment", "activity", "completed_at", "score"]
    list_filter = ["activity__course"]
    list_select_related = ["assignment__course", "assignment__user", "activity"]
    search_fields = ["activity__name", "assignment__external_id"]
    raw_id_fields = ["assignment", "activity"]


@admin.register(SubscriptionProfile)
class SubscriptionProfileAdmin(ScopedAdmin):
    """What can be subscribed to."""

    list_display = ["name", "organization", "price", "duration_days", "enabled"]
    list_filter = ["enabled", "organization"]
    list_select_related = ["organization"]
    search_fields = ["name"]
    autocomplete_fields = ["organization", "courses"]


@admin.register(SubscriptionAssignment)
class SubscriptionAssignmentAdmin(ScopedAdmin):
    """Who has which subscription."""

    organization_path = "user__organization"
    date_hierarchy = "expires_at"
    list_display = ["profile", "user", "starts_at", "expires_at", "cancelled_at"]
    list_filter = ["profile", "user__organization"]
    list_select_related = ["profile", "user"]
    search_fields = ["external_id", "profile__name", "user__first_name", "user__last_name", "user__email"]
    autocomplete_fields = ["profile", "user"]
    actions = [
        confirmed(lambda subscription: subscription.cancel(at=timezone.now()), label="Cancel"),
    ]
