from __future__ import annotations

from django.contrib import admin

from example_project.training.models import Company, Organization


@admin.register(Organization)
class OrganizationAdmin(admin.ModelAdmin):
    """Organizations and where they stand in their tree."""

    list_display = ["name", "external_id", "parent", "time_zone_id", "enabled"]
    list_filter = ["enabled", "enable_achievements", ("parent", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["parent"]
    search_fields = ["name", "external_id"]
    autocomplete_fields = ["parent"]


@admin.register(Company)
class CompanyAdmin(admin.ModelAdmin):
    """The firms that organizations train for."""

    list_display = ["name", "external_id", "organization", "email"]
    list_filter = ["organization"]
    list_select_related = ["organization"]
    search_fields = ["name", "external_id"]
    autocomplete_fields = ["organization"]
