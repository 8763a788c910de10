"""Pages that are no organization's own, and would give rights in all of them: for superusers."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from django_q.models import Failure, OrmQ, Schedule, Success
from rest_framework.authtoken.models import TokenProxy


class SuperusersOnly:
    """Pages that only superusers see."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return whether the person is a superuser."""
        return bool(request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the person is a superuser."""
        return bool(request.user.is_superuser)

    has_add_permission = has_module_permission
    has_change_permission = has_delete_permission = has_view_permission


# A group grants permissions, a token acts as its user, and a schedule of django-q2 calls any function.
for model in filter(admin.site.is_registered, (Group, TokenProxy, Schedule, Success, Failure, OrmQ)):
    page = type(admin.site.get_model_admin(model))
    admin.site.unregister(model)
    admin.site.register(model, type(page.__name__, (SuperusersOnly, page), {"__module__": __name__}))
