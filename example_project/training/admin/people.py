from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest

from example_project.training.admin.actions import confirmed
from example_project.training.admin.operations import SuperusersOnly
from example_project.training.admin.scope import ScopedAdmin
from example_project.training.models import Role, User

# What gives rights.
RIGHTS = ("is_staff", "is_superuser", "roles", "managed_organizations", "groups", "user_permissions")


@admin.register(User)
class UserAdmin(ScopedAdmin, DjangoUserAdmin):
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
        confirmed(User.disable, label="Disable"),
        confirmed(User.enable, label="Enable"),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Leave out superusers, whose password would open all organizations, except for superusers."""
        rows = super().get_queryset(request)
        return rows if request.user.is_superuser else rows.filter(is_superuser=False)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        """Let superusers alone grant rights: a person could otherwise take those of other organizations."""
        return [*self.readonly_fields, *(() if request.user.is_superuser else RIGHTS)]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Let superusers alone change accounts with rights that the person does not have."""
        return super().has_change_permission(request, obj) and (obj is None or _has_no_more_rights(request, obj))


def _has_no_more_rights(request: HttpRequest, user: User) -> bool:
    return request.user.is_superuser or user.get_all_permissions() <= request.user.get_all_permissions()


@admin.register(Role)
class RoleAdmin(SuperusersOnly, admin.ModelAdmin):
    """What people may do."""

    search_fields = ["name"]
