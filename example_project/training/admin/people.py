from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin

from example_project.training.admin.actions import for_each
from example_project.training.models import Role, User


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    """Accounts. As in Django's own page, a password can be set and never read."""

    list_display = ["username", "last_name", "first_name", "email", "organization", "company", "is_staff", "disabled"]
    list_filter = ["disabled", "is_staff", "is_superuser", "organization", "participate_in_achievements"]
    list_select_related = ["organization", "company"]
    search_fields = ["username", "first_name", "last_name", "email", "external_id"]
    ordering = ["last_name", "first_name", "pk"]
    autocomplete_fields = ["organization", "company", "manager", "roles", "managed_organizations", "department"]
    readonly_fields = ["last_login", "date_joined"]
    fieldsets = [
        (None, {"fields": ["username", "password", "disabled"]}),
        ("Person", {"fields": ["title", "first_name", "middle_name", "last_name", "email", "external_id"]}),
        ("Place", {"fields": ["organization", "company", "manager", "time_zone_id", "participate_in_achievements"]}),
        ("Costs", {"fields": ["department", "cost_center"]}),
        (
            "Address",
            {
                "classes": ["collapse"],
                "fields": ["phone", "phone2", "address1", "address2", "city", "state", "zip", "country_code"],
            },
        ),
        (
            "Rights",
            {
                "classes": ["collapse"],
                "fields": ["is_staff", "is_superuser", "roles", "managed_organizations", "groups", "user_permissions"],
            },
        ),
        ("Dates", {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [
        (
            None,
            {
                "classes": ["wide"],
                "fields": [
                    "username",
                    "first_name",
                    "last_name",
                    "email",
                    "organization",
                    "usable_password",
                    "password1",
                    "password2",
                ],
            },
        ),
    ]
    actions = [
        for_each(User.disable, label="Disable selected %(verbose_name_plural)s"),
        for_each(User.enable, label="Enable selected %(verbose_name_plural)s"),
    ]


@admin.register(Role)
class RoleAdmin(admin.ModelAdmin):
    """What people may do."""

    search_fields = ["name"]
