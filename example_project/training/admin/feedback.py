from __future__ import annotations

from django.contrib import admin

from example_project.training.admin.scope import ScopedAdmin
from example_project.training.models import CourseFeedback


@admin.register(CourseFeedback)
class CourseFeedbackAdmin(ScopedAdmin):
    """What learners said."""

    organization_path = "course__organization"
    date_hierarchy = "submitted_at"
    list_display = ["title", "course", "user", "positive", "negative", "submitted_at"]
    list_filter = ["positive", "negative", "course"]
    list_select_related = ["course", "user"]
    search_fields = ["title", "content", "course__name"]
    autocomplete_fields = ["course", "class_enrollment", "course_assignment", "activity", "user"]
