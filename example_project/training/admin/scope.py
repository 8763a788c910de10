"""Keep each page to the organizations that the signed-in person administers: in lists, fields, filters and searches."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import get_fields_from_path
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from example_project.training.access import TrainingPolicy
from example_project.training.models import Organization
from tms_webhooks.choices import Action


def administered(request: HttpRequest) -> QuerySet[Organization]:
    """Return the organizations that the signed-in person administers."""
    return TrainingPolicy().organizations(request, Action.MANAGE)


class ScopedFields:
    """A form whose choices are the rows that the person may see, and those that such rows name."""

    admin_site: Any

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Return a field that refuses rows of other organizations."""
        return super().formfield_for_foreignkey(db_field, request, **self._choices(db_field, request, kwargs))  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Return a field that refuses rows of other organizations."""
        return super().formfield_for_manytomany(db_field, request, **self._choices(db_field, request, kwargs))  # type: ignore[misc]

    def _choices(self, db_field: Any, request: HttpRequest, kwargs: dict[str, Any]) -> dict[str, Any]:
        related = db_field.remote_field.model
        own = self._page_of(db_field.model)
        page = self._page_of(related)
        if request.user.is_superuser or own is None or page is None:
            return kwargs
        # A learner of another organization stays in the row that names this learner.
        visible = page.get_queryset(request).order_by().values("pk")
        named = own.get_queryset(request).order_by().values(db_field.name)
        kwargs["queryset"] = related._default_manager.filter(Q(pk__in=visible) | Q(pk__in=named))
        return kwargs

    def _page_of(self, model: Any) -> ScopedAdmin | None:
        """Return the scoped pages of a model; None where it has none."""
        page = self.admin_site.get_model_admin(model) if self.admin_site.is_registered(model) else None
        return page if isinstance(page, ScopedAdmin) else None


class ScopedAdmin(ScopedFields, admin.ModelAdmin):
    """The pages of rows that belong to an organization. ``organization_path`` leads from a row to it."""

    organization_path = "organization"

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **kwargs: Any) -> Any:
        """Show the actions of the list on the page of a row, too; see ``change_form_object_tools.html``."""
        # Django 6.1 has an object in place of a tuple.
        actions = {name: getattr(one, "func", None) or one[0] for name, one in self.get_actions(request).items()}
        labels = {name: getattr(action, "label", None) for name, action in actions.items()}
        context["record_actions"] = [(name, label) for name, label in labels.items() if label]
        return super().render_change_form(request, context, **kwargs)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows of the organizations that the person administers; all rows for a superuser."""
        rows = super().get_queryset(request)
        if request.user.is_superuser:
            return rows
        return rows.filter(**{f"{self.organization_path}__in": administered(request).order_by().values("pk")})

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Return the filters, which offer the values of the visible rows only."""
        return [self._scoped_filter(one) for one in super().get_list_filter(request)]

    def _scoped_filter(self, one: Any) -> Any:
        if not isinstance(one, str) or not get_fields_from_path(self.model, one)[-1].is_relation:
            return one
        return (one, admin.RelatedOnlyFieldListFilter)


class ScopedInline(ScopedFields, admin.TabularInline):
    """Rows on the page of the row that they belong to."""
