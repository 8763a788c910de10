from __future__ import annotations

from django.contrib import admin

from example_project.training.admin.scope import ScopedAdmin, ScopedInline
from example_project.training.models import LearningPath, LearningPathCourse


class LearningPathCourseInline(ScopedInline):
    """The courses of a path in their order, on the path's page."""

    model = LearningPathCourse
    extra = 0
    fields = ["position", "course"]
    autocomplete_fields = ["course"]


@admin.register(LearningPath)
class LearningPathAdmin(ScopedAdmin):
    """Learning paths with their courses."""

    list_display = ["name", "organization", "audience_level", "enabled"]
    list_filter = ["enabled", "audience_level", "organization"]
    list_select_related = ["organization"]
    search_fields = ["name"]
    autocomplete_fields = ["organization", "subscription_profiles"]
    inlines = [LearningPathCourseInline]


@admin.register(LearningPathCourse)
class LearningPathCourseAdmin(ScopedAdmin):
    """The places of courses on paths, to search them."""

    organization_path = "learning_path__organization"
    list_display = ["learning_path", "position", "course"]
    list_filter = ["learning_path"]
    list_select_related = ["learning_path", "course"]
    search_fields = ["learning_path__name", "course__name"]
    autocomplete_fields = ["learning_path", "course"]
