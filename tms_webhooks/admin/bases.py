"""Who may do what, and the base class of the pages: rows that belong to an organization, named by their public ids.

The site decides which operations a user may do, and the access policy in which organizations.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial, reduce, wraps
from importlib import import_module
from operator import or_
from typing import Any, ClassVar, NamedTuple

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IS_POPUP_VAR, TO_FIELD_VAR, IncorrectLookupParameters
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.admin.views.main import ORDER_VAR, PAGE_VAR, SEARCH_VAR, ChangeList
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from tms_webhooks.access import covers, get_policy, may_view_payload
from tms_webhooks.choices import Action
from tms_webhooks.db import clock
from tms_webhooks.exception_reports import View, hide_values
from tms_webhooks.filters.paths import shortened
from tms_webhooks.models import Delivery, Subscription, Webhook
from tms_webhooks.sources import objects

MAX_SELECTED = 1_000
VISIT_KEY = "_tms_webhooks_visit"
"""The attribute of a request to a customers' site with its `CustomerVisit`."""


class CustomerVisit(NamedTuple):
    """What a customers' site knows about a request.

    ``permits`` takes the request and the codename of a permission. ``organizations`` has the keys of the only
    organizations that the visit may see, or is None without such a limit.
    """

    permits: Callable[[HttpRequest, str], bool]
    organizations: Collection[Any] | None = None


# Who may do what


def permits(request: HttpRequest, codename: str) -> bool:
    """Return whether the site lets the user do an operation, such as "change_webhook", in any organization.

    Staff need Django's permission. On a customers' site only the access policy decides. The sites differ only here.
    """
    visit: CustomerVisit | None = getattr(request, VISIT_KEY, None)
    if visit is not None:
        return visit.permits(request, codename)
    return bool(request.user.has_perm(f"tms_webhooks.{codename}"))


def may_view_webhooks(request: HttpRequest) -> bool:
    """Return whether the site lets the user view webhooks, on pages of other models."""
    return permits(request, "view_webhook") or permits(request, "change_webhook")


def organizations(request: HttpRequest, action: Action) -> Any:
    """Return the organizations in which the user may do ``action``. The policy is called once per request and action."""
    cached = _cache_of(request)
    if action not in cached:
        keys = getattr(getattr(request, VISIT_KEY, None), "organizations", None)
        allowed = get_policy().organizations(request, action)
        cached[action] = allowed if keys is None else allowed.filter(pk__in=keys)
    return cached[action].all()


def allowed_keys(request: HttpRequest, action: Action) -> QuerySet:
    """Return the keys of these organizations, for the filter of another query."""
    return organizations(request, action).order_by().values("pk")


def sees_all(request: HttpRequest, action: Action) -> bool:
    """Return whether the user may do ``action`` in every organization."""
    rows = organizations(request, action)
    return not rows.model._base_manager.exclude(pk__in=allowed_keys(request, action)).exists()


def allowed_among(request: HttpRequest, action: Action, organization_ids: Collection[Any]) -> set[Any]:
    """Return those of these organizations in which the user may do ``action``, in one query for all."""
    cached = _cache_of(request)
    unknown = {key for key in organization_ids if (action, key) not in cached}
    if unknown:
        found = set(organizations(request, action).filter(pk__in=unknown).values_list("pk", flat=True))
        cached.update({(action, key): key in found for key in unknown})
    return {key for key in organization_ids if cached[action, key]}


def allows(request: HttpRequest, action: Action, organization_id: Any) -> bool:
    """Return whether the user may do ``action`` in this organization."""
    return bool(allowed_among(request, action, [organization_id]))


def allows_anywhere(request: HttpRequest, action: Action) -> bool:
    """Return whether the user may do ``action`` in at least one organization. Asked once per request and action."""
    cached, key = _cache_of(request), ("anywhere", action)
    if key not in cached:
        cached[key] = organizations(request, action).exists()
    return bool(cached[key])


def may_view_payloads(request: HttpRequest, webhook: Webhook) -> bool:
    """Return whether the user may view the payloads of a webhook."""
    return permits(request, "view_event") and allows(request, Action.VIEW_PAYLOAD, webhook.organization_id)


def may_view_payload_of(request: HttpRequest, delivery: Delivery) -> bool:
    """Return whether the user may view the payload of a delivery."""
    asked = partial(allows, request)
    return permits(request, "view_event") and may_view_payload(delivery.webhook, delivery.event, asked)


def may_view_all_payloads(request: HttpRequest, webhook: Webhook) -> bool:
    """Return whether the user may view the payloads of a webhook, also those of each child organization that it includes."""
    return may_view_payloads(request, webhook) and covers_children(request, Action.VIEW_PAYLOAD, webhook)


def covers_children(request: HttpRequest, action: Action, webhook: Webhook) -> bool:
    """Return whether the user may do ``action`` in each child organization that a webhook includes."""
    return covers(organizations(request, action), webhook)


def object_names(request: HttpRequest, subscriptions: Iterable[Subscription]) -> dict[str, dict[str, str]]:
    """Return the names of the objects in the filters of subscriptions that the user may see, by noun and by id.

    These are objects of organizations in which the user manages webhooks or views payloads; as in the pickers of filters.
    """
    managed, read = (Q(pk__in=allowed_keys(request, action)) for action in (Action.MANAGE, Action.VIEW_PAYLOAD))
    keys = allowed_keys(request, Action.VIEW).filter(managed | read)
    found = {}
    for noun in objects.FILTERED_BY_ID:
        ids = {one for subscription in subscriptions for one in subscription.filters.get(noun) or ()}
        labels = objects.names_of(noun, ids, organizations=keys)
        found[noun] = {key: label.partition(" · ")[0] for key, label in labels.items()}
    return found


def _cache_of(request: HttpRequest) -> Any:
    return request.__dict__.setdefault("_tms_webhooks_access", {})


# Pages


def column(title: Any, text: Callable[[Any], Any], *, ordering: str | None = None) -> Any:
    """Return a column of a list, or a read-only field: its title, and a function that returns its text for a row."""
    return admin.display(lambda _admin, row: text(row), description=title, ordering=ordering)


def without_popup(view: View) -> View:
    """Return a view that refuses to serve another form as a popup, because Django answers such a form with keys."""

    @wraps(view)
    def refusing(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not {IS_POPUP_VAR, TO_FIELD_VAR}.isdisjoint([*request.GET, *request.POST]):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return refusing


def report_ignored(request: HttpRequest, name: str, value: str) -> None:
    """Name a parameter in a message, because the list is shown without it."""
    text = _("Ignored an unknown filter or value: %(parameter)s.")
    messages.error(request, text % {"parameter": shortened(f"{name}={value}")})


class PublicIDChangeList(ChangeList):
    """Links the rows of a list by their public ids."""

    model_admin: ScopedAdmin

    def get_results(self, request: HttpRequest) -> None:
        """Read the rows of the page, also of a single one: Django would search the whole table for more."""
        try:
            super().get_results(request)
        except IncorrectLookupParameters:
            report_ignored(request, PAGE_VAR, str(self.page_num))
            self.page_num = 1
            super().get_results(request)
        rows = self.result_list if self.multi_page else self.paginator.page(1).object_list
        self.result_list: Any = list(rows)
        for row in self.result_list:
            row.links_webhook = may_view_webhooks(request)
        self.model_admin.prepare_rows(request, self.result_list)

    def url_for_result(self, result: Any) -> str:
        return self.model_admin.url(f"{self.opts.model_name}_{self.model_admin.row_page}", result)


def linked_row(row: Any) -> Any:
    """Return a copy of a row for Django's templates and checkboxes, which name it by its key: here that is the public id."""
    linked = copy.copy(row)
    linked.pk = row.public_id
    return linked


def select_of(spec: Any, changelist: ChangeList) -> dict[str, Any]:
    """Return a filter of Django's as a select: its options as (value, label, whether it is selected).

    ``range`` has the two ends of a filter that also takes a range of times; ``is_set`` is whether it limits the list.
    """
    name, ends = getattr(spec, "parameter_name", None) or spec.lookup_kwarg, getattr(spec, "range", {})
    # Django offers each choice as a link to the list with it; the first one is "All".
    _all, *choices = spec.choices(changelist)
    options = [(QueryDict(one["query_string"][1:])[name], one["display"], one["selected"]) for one in choices]
    is_set = any(selected for *_option, selected in options) or any(ends.values())
    return {"title": spec.title, "name": name, "options": options, "range": ends, "is_set": is_set}


class ScopedAdmin(admin.ModelAdmin):
    """Pages of rows that belong to an organization. Keys would count the rows of all: pages name them by public ids.

    `permits` decides which operations a user may do on this site; the access policy decides on which rows.

    Attributes:
        organization_path: The lookup path from a row to its organization.
        change_action: The action that the policy has to allow for a change.
        row_page: The page to which the rows of the list lead: "change", or one of ``own_pages``.
        linked_lookups: Lookups that links to the list use, besides those of its filters.
        own_pages: The pages besides Django's. Each has the path below the list, the name of its URL, and the function of
            a module that returns it.
    """

    show_facets = admin.ShowFacets.NEVER
    list_max_show_all = 0
    organization_path = "organization"
    change_action = Action.MANAGE
    row_page = "change"
    linked_lookups: ClassVar[Collection[str]] = ()
    own_pages: ClassVar[Sequence[tuple[str, str, str]]] = ()

    class Media:
        css: ClassVar = {"all": ("tms_webhooks/pages.css",)}

    # Addresses

    @property
    def urls(self) -> list[URLPattern]:
        """The pages, whose exception reports have no values: forms and their variables hold header values."""
        patterns: list[URLPattern] = self.get_urls()
        for pattern in patterns:
            pattern.callback = hide_values(without_popup(pattern.callback))
        return patterns

    def get_urls(self) -> list[URLPattern]:
        """Put the own pages before Django's, which take any path as a key. The audit log is the only history."""
        view = self.admin_site.admin_view
        own = [path(route, view(self._view(of)), name=f"tms_webhooks_{name}") for route, name, of in self.own_pages]
        return [*own, *(one for one in super().get_urls() if not str(one.name).endswith("_history"))]

    def _view(self, of: str) -> View:
        """Return a view that loads its module when it is asked for: a process that shows no page loads none."""
        module, _dot, function = of.rpartition(".")

        def view(request: HttpRequest, **kwargs: Any) -> Any:
            return getattr(import_module(f"tms_webhooks.admin.{module}"), function)(self, request, **kwargs)

        return view

    def url(self, name: str, row: Any = None) -> str:
        """Return the address of a page on this site: "webhook_changelist", or "webhook_change" with a webhook."""
        return reverse(f"{self.admin_site.name}:tms_webhooks_{name}", args=() if row is None else [row.public_id])

    def redirect(self, name: str, row: Any = None) -> HttpResponse:
        """Redirect to a page on this site."""
        return HttpResponseRedirect(self.url(name, row))

    def page(self, request: HttpRequest, template: str, row: Any = None, **context: Any) -> HttpResponse:
        """Return one of the app's own pages, about a row or about none."""
        site = {**self.admin_site.each_context(request), "opts": self.opts, "original": row, "now": timezone.now()}
        return TemplateResponse(request, f"admin/tms_webhooks/{template}.html", {**site, **context})

    def by(self, request: HttpRequest) -> dict[str, Any]:
        """Return who makes a change, and when, for a verb of `tms_webhooks.manage`."""
        return {"actor": get_policy().caller(request), "now": clock.measured_now()}

    # Rows

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Return only the rows of organizations that the user may view."""
        allowed = allowed_keys(request, Action.VIEW)
        return super().get_queryset(request).filter(**{f"{self.organization_path}__in": allowed})

    def by_url(self, object_id: str) -> Any:
        """Return the filter for the public id in a URL, whether or not Django has escaped it, or has taken it for escaped.

        Django writes an underscore as ``_5F``, and reads ``_40`` as an at sign, which is the beginning of some ids.
        """
        text = object_id.replace("_5F", "_")
        if text[3:4] not in ("", "_"):
            text = f"{text[:3]}_{ord(text[3]):02X}{text[4:]}"
        return self.model.by_public_id(text)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        return self.get_queryset(request).filter(self.by_url(object_id)).first()

    def row_of(self, request: HttpRequest, key: str) -> Any:
        """Return the row of a URL that the user may view; raise `Http404` or `PermissionDenied`."""
        row = self.get_object(request, key)
        if row is None:
            raise Http404
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        return row

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Return whether a filter of the list has this parameter, and its column may have this value.

        Django also allows each lookup on a column: a search in a column that the user may not view would read it.
        """
        known = set(self.linked_lookups).union(*map(self._lookups_of, self.list_filter))
        if lookup not in known or "\x00" in value:
            return False
        path, _separator, last = lookup.rpartition("__")
        if last != "exact":
            return True
        field = get_fields_from_path(self.model, path)[-1]
        try:
            field.clean(value, None)
        except ValidationError:
            return False
        return not field.choices or value in dict(field.flatchoices)

    def _lookups_of(self, spec: Any) -> set[str]:
        """Return the parameters of one entry of ``list_filter``."""
        if isinstance(spec, type):
            return {*getattr(spec, "parameter_names", ()), str(getattr(spec, "parameter_name", ""))}
        return {f"{spec}__exact", f"{spec}__isnull"}

    # Permissions

    def permits(self, request: HttpRequest, *verbs: str) -> bool:
        """Return whether the site lets the user do one of these with rows: view, add, change, delete."""
        return any(permits(request, f"{verb}_{self.opts.model_name}") for verb in verbs)

    def may(self, request: HttpRequest, action: Action, obj: Any) -> bool:
        """Return whether the user may do ``action`` on this row; without a row, in at least one organization."""
        if obj is None:
            return allows_anywhere(request, action)
        *steps, last = self.organization_path.split("__")
        for step in steps:
            obj = getattr(obj, step)
        return allows(request, action, getattr(obj, f"{last}_id"))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.permits(request, "view", "add", "change", "delete")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may view this row; without a row, the table, which may be empty."""
        return self._may_do(request, Action.VIEW, obj, "view", "change")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.permits(request, "add") and self.may(request, self.change_action, None)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_do(request, self.change_action, obj, "change")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_do(request, self.change_action, obj, "delete")

    def _may_do(self, request: HttpRequest, action: Action, obj: Any, *verbs: str) -> bool:
        return self.permits(request, *verbs) and (obj is None or self.may(request, action, obj))

    # Django's pages, with public ids

    def get_search_fields(self, request: HttpRequest) -> Any:
        """Return the fields that the list searches; none for Django's autocompletion, which answers with keys."""
        match = request.resolver_match
        return () if match is not None and match.url_name == "autocomplete" else super().get_search_fields(request)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PublicIDChangeList

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        """Add what the columns of a page of rows need, in as many queries for many rows as for few."""

    # Also copies the title of the column.
    @wraps(admin.ModelAdmin.action_checkbox)
    def action_checkbox(self, obj: Any) -> SafeString:  # type: ignore[override]
        return super().action_checkbox(linked_row(obj))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Show the list. Django finds the selected rows by their keys, and names them so when it asks for confirmation."""
        selected = request.POST.getlist(ACTION_CHECKBOX_NAME)[:MAX_SELECTED]
        if selected:
            chosen = self.get_queryset(request).filter(reduce(or_, map(self.by_url, selected)))
            data = request.POST.copy()
            data.setlist(ACTION_CHECKBOX_NAME, list(map(str, chosen.values_list("pk", flat=True))))
            request.POST = data  # type: ignore[assignment]
        request.GET = self._accepted_parameters(request)  # type: ignore[assignment]
        title = capfirst(self.opts.verbose_name_plural)
        page = super().changelist_view(request, {"title": title, **(extra_context or {})})
        context = getattr(page, "context_data", None) or {}
        if "cl" in context:
            context |= self.list_context(request, context["cl"])
        if "queryset" in context:
            context["queryset"] = [linked_row(row) for row in context["queryset"]]
        return page

    def list_context(self, request: HttpRequest, changelist: ChangeList) -> dict[str, Any]:
        """Return what the page of a list shows besides Django's."""
        return {"selects": [select_of(spec, changelist) for spec in changelist.filter_specs]}

    def _accepted_parameters(self, request: HttpRequest) -> QueryDict:
        """Return the parameters that the list takes, and name each other one in a message.

        Empty values are left out: a form also sends selects that select nothing.
        """
        kept = QueryDict(mutable=True)
        for name, values in request.GET.lists():
            for value in filter(None, values):
                if name in (SEARCH_VAR, ORDER_VAR, PAGE_VAR) or self.lookup_allowed(name, value, request):
                    kept.appendlist(name, value)
                else:
                    report_ignored(request, name, value)
        return kept
