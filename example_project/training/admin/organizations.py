from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from example_project.training.access import TrainingPolicy
from example_project.training.models import Company, Department, Organization
from tms_webhooks.admin import WebhookInline
from tms_webhooks.choices import Action


@admin.register(Organization)
class OrganizationAdmin(admin.ModelAdmin):
    """Organizations and where they stand in their tree."""

    list_display = ["name", "external_id", "parent", "time_zone_id", "enabled"]
    list_filter = ["enabled", "enable_achievements", ("parent", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["parent"]
    search_fields = ["name", "external_id"]
    autocomplete_fields = ["parent"]
    inlines = [WebhookInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Organization]:
        """Keep to the organizations that the signed-in person administers."""
        allowed = TrainingPolicy().organizations(request, Action.VIEW)
        return super().get_queryset(request).filter(pk__in=allowed.order_by().values("pk"))


@admin.register(Department)
class DepartmentAdmin(admin.ModelAdmin):
    """The departments of organizations."""

    list_display = ["name", "organization"]
    list_filter = ["organization"]
    list_select_related = ["organization"]
    search_fields = ["name"]
    autocomplete_fields = ["organization"]


@admin.register(Company)
class CompanyAdmin(admin.ModelAdmin):
    """The firms that organizations train for."""

    list_display = ["name", "external_id", "organization", "email"]
    list_filter = ["organization"]
    list_select_related = ["organization"]
    search_fields = ["name", "external_id"]
    autocomplete_fields = ["organization"]
