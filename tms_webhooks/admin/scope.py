"""Limits the pages to the rows of the organizations that the access policy allows."""

from __future__ import annotations

from collections.abc import Collection
from functools import wraps
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import IS_POPUP_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from tms_webhooks.access import covers, get_policy
from tms_webhooks.admin.bases import ModelAdmin, PublicIDAdmin, permits, visit_of
from tms_webhooks.admin.formatting import EMPTY
from tms_webhooks.choices import Action
from tms_webhooks.exception_reports import View, hide_values
from tms_webhooks.models import Webhook

MAX_LISTED_ORGANIZATIONS = 500
"""With more organizations, the form searches for one, if the host's organization admin has search fields."""
_CACHE = "_tms_webhooks_access"
# In the cache, in place of the key of an organization. No key is equal to it, None included.
_ANYWHERE = object()


def organizations(request: HttpRequest, action: Action) -> QuerySet[Any]:
    """Return the organizations in which the user may do ``action``. The policy is called once per request and action."""
    cached: dict[Any, Any] = request.__dict__.setdefault(_CACHE, {})
    if action not in cached:
        cached[action] = get_policy().organizations(request, action)
        visit = visit_of(request)
        if visit is not None and visit.organizations is not None:
            cached[action] = cached[action].filter(pk__in=visit.organizations)
    rows: QuerySet[Any] = cached[action].all()
    return rows


def allows(request: HttpRequest, action: Action, organization_id: Any) -> bool:
    """Return whether the user may do ``action`` in this organization."""
    cached: dict[Any, Any] = request.__dict__.setdefault(_CACHE, {})
    key = (action, organization_id)
    if key not in cached:
        cached[key] = organizations(request, action).filter(pk=organization_id).exists()
    return bool(cached[key])


def allowed_among(request: HttpRequest, action: Action, organization_ids: Collection[Any]) -> set[Any]:
    """Return those of these organizations in which the user may do ``action``, in one query for all."""
    cached: dict[Any, Any] = request.__dict__.setdefault(_CACHE, {})
    unknown = {one for one in organization_ids if (action, one) not in cached}
    if unknown:
        found = set(organizations(request, action).filter(pk__in=unknown).values_list("pk", flat=True))
        cached.update({(action, one): one in found for one in unknown})
    return {one for one in organization_ids if cached[action, one]}


def allows_anywhere(request: HttpRequest, action: Action) -> bool:
    """Return whether the user may do ``action`` in at least one organization. Asked once per request and action."""
    cached: dict[Any, Any] = request.__dict__.setdefault(_CACHE, {})
    key = (action, _ANYWHERE)
    if key not in cached:
        cached[key] = organizations(request, action).exists()
    return bool(cached[key])


def may_view_payloads(request: HttpRequest, webhook: Webhook) -> bool:
    """Return whether the user may view the payloads of a webhook."""
    return permits(request, "view_event") and allows(request, Action.VIEW_PAYLOAD, webhook.organization_id)


def covers_children(request: HttpRequest, action: Action, webhook: Webhook) -> bool:
    """Return whether the user may do ``action`` in each child organization that a webhook includes."""
    return covers(organizations(request, action), webhook)


def _without_popup(view: View) -> View:
    """Return a view that refuses to be the popup of another form, because Django answers such a form with keys."""

    @wraps(view)
    def refusing(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if IS_POPUP_VAR in request.GET or IS_POPUP_VAR in request.POST:
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return refusing


class OrganizationChoice(ModelAdmin):
    """The organization in a form: one of those that the user may manage, without links to its own page."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer only the organizations whose webhooks the user may manage."""
        if db_field.name == "organization":
            kwargs["queryset"] = organizations(request, Action.MANAGE)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Remove the links to the organization's admin page, which the user may not have access to."""
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "organization" and field is not None:
            for link in ("add", "change", "delete", "view"):
                setattr(field.widget, f"can_{link}_related", False)
        return field

    def get_autocomplete_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Search for the organization if there are too many for a list and its admin page has search fields."""
        owner: Any = self.model._meta.get_field("organization").related_model
        site = self.admin_site
        if not (site.is_registered(owner) and site.get_model_admin(owner).get_search_fields(request)):
            return ()
        count = organizations(request, Action.MANAGE).order_by()[: MAX_LISTED_ORGANIZATIONS + 1].count()
        return ("organization",) if count > MAX_LISTED_ORGANIZATIONS else ()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Select the organization if there is only one."""
        initial: dict[str, Any] = {**super().get_changeform_initial_data(request)}
        if "organization" not in initial:
            keys = list(organizations(request, Action.MANAGE).values_list("pk", flat=True)[:2])
            initial.update({"organization": keys[0]} if len(keys) == 1 else {})
        return initial


class ScopedAdmin(PublicIDAdmin):
    """Pages of rows that belong to an organization.

    `permits` decides which operations a user may do on this site; the access policy decides on which rows.

    Attributes:
        organization_path: The lookup path from a row to its organization.
        change_action: The action that the policy has to allow for a change.
        linked_lookups: Lookups that links to the list use, besides those of its filters.
    """

    organization_path = "organization"
    change_action = Action.MANAGE
    linked_lookups: ClassVar[Collection[str]] = ()

    @property
    def urls(self) -> list[URLPattern]:
        """The pages, whose exception reports have no values: forms and their variables hold header values."""
        patterns: list[URLPattern] = self.get_urls()
        for pattern in patterns:
            pattern.callback = hide_values(_without_popup(pattern.callback))
        return patterns

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return only the rows of organizations that the user may view."""
        allowed = organizations(request, Action.VIEW).order_by().values("pk")
        return super().get_queryset(request).filter(**{f"{self.organization_path}__in": allowed})

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Return whether a parameter of the list belongs to one of its filters.

        Django also allows each lookup on a column: a search in a column that the user may not view would read it.
        """
        filters = self.list_filter if request is None else self.get_list_filter(request)
        return lookup in self.linked_lookups or any(lookup in self._lookups_of(one) for one in filters)

    def _lookups_of(self, one: Any) -> set[str]:
        """Return the parameters of one entry of ``list_filter``."""
        if isinstance(one, type):
            return {*getattr(one, "parameter_names", ()), str(getattr(one, "parameter_name", ""))}
        name = one if isinstance(one, str) else one[0]
        field: Any = self.model._meta.get_field(name)
        path = f"{name}__{field.target_field.name}" if field.is_relation else name
        return {f"{path}__exact", f"{name}__isnull"}

    @admin.display(description=_("webhook"))
    def webhook_link(self, obj: Any) -> SafeString:
        """Return the webhook of a row, linked by its public id unless it was deleted."""
        webhook: Webhook | None = obj.webhook
        if webhook is None or webhook.deleted_at is not None:
            return format_html("{}", EMPTY if webhook is None else webhook.name)
        page = reverse(f"{self.admin_site.name}:tms_webhooks_webhook_overview", args=[webhook.public_id])
        return format_html('<a href="{}">{}</a>', page, webhook.name)

    def may(self, request: HttpRequest, action: Action, obj: Any) -> bool:
        """Return whether the user may do ``action`` on this row; without a row, in at least one organization."""
        if obj is None:
            return allows_anywhere(request, action)
        *steps, last = self.organization_path.split("__")
        for step in steps:
            obj = getattr(obj, step)
        return allows(request, action, getattr(obj, f"{last}_id"))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may view this row; without a row, the table, which may be empty."""
        return super().has_view_permission(request, obj) and (obj is None or self.may(request, Action.VIEW, obj))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may add a row in at least one organization."""
        return super().has_add_permission(request) and self.may(request, self.change_action, None)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may change this row; without a row, any row."""
        return super().has_change_permission(request, obj) and (
            obj is None or self.may(request, self.change_action, obj)
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may delete this row; without a row, any row."""
        return super().has_delete_permission(request, obj) and (
            obj is None or self.may(request, self.change_action, obj)
        )
