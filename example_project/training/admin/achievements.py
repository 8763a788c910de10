from __future__ import annotations

from django.contrib import admin

from example_project.training.admin.scope import ScopedAdmin
from example_project.training.models import Achievement, UserAchievement


@admin.register(Achievement)
class AchievementAdmin(ScopedAdmin):
    """What can be earned."""

    list_display = ["name", "organization", "points", "frequency", "frequency_type"]
    list_filter = ["frequency_type", "organization"]
    list_select_related = ["organization"]
    search_fields = ["name"]
    autocomplete_fields = ["organization"]


@admin.register(UserAchievement)
class UserAchievementAdmin(ScopedAdmin):
    """Who earned what."""

    organization_path = "user__organization"
    date_hierarchy = "earned_at"
    list_display = ["achievement", "user", "points", "earned_at"]
    list_filter = ["achievement", "user__organization"]
    list_select_related = ["achievement", "user"]
    search_fields = ["achievement__name", "user__first_name", "user__last_name", "user__email"]
    autocomplete_fields = ["achievement", "user"]
