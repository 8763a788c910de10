from __future__ import annotations

from django.contrib import admin

from example_project.training.admin.scope import ScopedAdmin, ScopedInline
from example_project.training.models import Activity, Course


class ActivityInline(ScopedInline):
    """The steps of a course, on the course's page."""

    model = Activity
    extra = 0
    fields = ["position", "name", "activity_type_id", "required", "is_exam", "allow_retake"]


@admin.register(Course)
class CourseAdmin(ScopedAdmin):
    """Courses with their activities."""

    list_display = [
        "name",
        "external_id",
        "organization",
        "duration",
        "duration_unit_id",
        "available_instructor_led",
        "available_self_paced",
    ]
    list_filter = ["available_instructor_led", "available_self_paced", "organization"]
    list_select_related = ["organization"]
    search_fields = ["name", "external_id"]
    autocomplete_fields = ["organization"]
    inlines = [ActivityInline]


@admin.register(Activity)
class ActivityAdmin(ScopedAdmin):
    """Activities of all courses, to search them."""

    organization_path = "course__organization"
    list_display = ["name", "course", "position", "activity_type_id", "required", "is_exam"]
    list_filter = ["activity_type_id", "required", "is_exam"]
    list_select_related = ["course"]
    search_fields = ["name", "course__name"]
    autocomplete_fields = ["course"]
