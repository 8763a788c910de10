from __future__ import annotations

from django.contrib import admin

from example_project.training.admin.scope import ScopedAdmin
from example_project.training.models import Company, Department, Organization
from tms_webhooks.admin import WebhookInline


@admin.register(Organization)
class OrganizationAdmin(ScopedAdmin):
    """Organizations and where they stand in their tree."""

    organization_path = "pk"
    list_display = ["name", "external_id", "parent", "time_zone_id", "enabled"]
    list_filter = ["enabled", "enable_achievements", "parent"]
    list_select_related = ["parent"]
    search_fields = ["name", "external_id"]
    autocomplete_fields = ["parent"]
    inlines = [WebhookInline]


@admin.register(Department)
class DepartmentAdmin(ScopedAdmin):
    """The departments of organizations."""

    list_display = ["name", "organization"]
    list_filter = ["organization"]
    list_select_related = ["organization"]
    search_fields = ["name"]
    autocomplete_fields = ["organization"]


@admin.register(Company)
class CompanyAdmin(ScopedAdmin):
    """The firms that organizations train for."""

    list_display = ["name", "external_id", "organization", "email"]
    list_filter = ["organization"]
    list_select_related = ["organization"]
    search_fields = ["name", "external_id"]
    autocomplete_fields = ["organization"]
