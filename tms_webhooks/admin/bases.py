"""The base classes of the pages: Django's classes for the type checker, the time range form, and the log pages."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce, wraps
from operator import or_
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.admin.utils import quote
from django.contrib.admin.views.main import ChangeList
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tms_webhooks.models.event import PUBLIC_PREFIX

# Django's own classes are not generic at run time.
if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
    _Paginator = Paginator[Any]
else:
    ModelAdmin = admin.ModelAdmin
    TabularInline = admin.TabularInline
    _Paginator = Paginator

MAX_ROWS = 1_000
MAX_SELECTED = 1_000
MAX_LOGGED_TEXT = 200
"""The length of the text of a row in the history."""
VISIT_KEY = "_tms_webhooks_visit"
"""The attribute of a request to a customers' site with its `CustomerVisit`."""
MAX_KEY_DIGITS = 18
"""Databases reject longer primary keys."""
FIRST_KEY_RANGE = 20_000
MAX_KEY_RANGE = 200_000
MAX_SEARCH_SECONDS = 0.5

_HEX = re.compile(r"[0-9a-f]{32}")


class TimeRangeForm(forms.Form):
    """A time range with two optional ends."""

    since = forms.DateTimeField(
        label=_("From"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    until = forms.DateTimeField(
        label=_("Until"),
        required=False,
        help_text=_("Empty: now."),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )


class BoundedPaginator(_Paginator):
    """Shows the first 1,000 rows, because counting a whole log is slow.

    It searches the primary keys from the newest back, one key range at a time. Matches among the newest rows are found
    fast whatever plan the database chooses. The search stops after `MAX_SEARCH_SECONDS`.
    """

    searched_keys: int | None = None
    """The number of keys searched, if the search stopped early."""

    @cached_property
    def keys(self) -> list[Any]:
        """The primary keys of the rows, at most 1,000."""
        rows: Any = self.object_list
        all_keys = rows.model._default_manager.values_list("pk", flat=True)
        newest, oldest = all_keys.order_by("-pk").first(), all_keys.order_by("pk").first()
        found: list[Any] = []
        if newest is None:
            return found
        upper, size, end = newest, FIRST_KEY_RANGE, monotonic() + MAX_SEARCH_SECONDS
        while upper >= oldest and len(found) < MAX_ROWS:
            if upper < newest and monotonic() > end:
                self.searched_keys = newest - upper
                break
            matches = rows.filter(pk__gt=upper - size, pk__lte=upper).values_list("pk", flat=True)
            found += matches[: MAX_ROWS - len(found)]
            upper, size = upper - size, min(2 * size, MAX_KEY_RANGE)
        return found

    @cached_property
    def count(self) -> int:
        """The number of rows, at most 1,000."""
        return len(self.keys)

    def page(self, number: Any) -> Any:
        """Return the rows of one page."""
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        rows: Any = self.object_list
        # Filters all rows by key: the filters of the list were applied when the keys were read.
        selected = rows.model._default_manager.filter(pk__in=self.keys[first : first + self.per_page])
        return Page(_with_options_of(rows, selected), number, self)


def _with_options_of(rows: Any, selected: Any) -> Any:
    """Return ``selected`` with the order, the joins and the deferred fields of ``rows``."""
    selected.query.select_related = rows.query.select_related
    selected.query.deferred_loading = rows.query.deferred_loading
    selected.query.order_by = rows.query.order_by
    return selected


class PublicIDChangeList(ChangeList):
    """Links the rows of a list by their public ids."""

    def url_for_result(self, result: Any) -> str:
        """Return the URL of a row's page."""
        return str(
            reverse(
                f"{self.model_admin.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_change",
                args=[result.public_id],
            )
        )


@dataclass(frozen=True, slots=True)
class LinkedRow:
    """A row for Django's templates and checkboxes, which name it by its key: here that is the public id."""

    pk: str
    name: str

    def __str__(self) -> str:
        return self.name


def linked_row(row: Any) -> LinkedRow:
    """Return a row with its public id in place of its key."""
    return LinkedRow(row.public_id, str(row))


@dataclass(frozen=True, slots=True)
class CustomerVisit:
    """What a customers' site knows about a request.

    ``permits`` takes the request and the codename of a permission. ``organizations`` has the keys of the only
    organizations that the visit may see, or is None without such a limit.
    """

    permits: Callable[[HttpRequest, str], bool]
    organizations: Collection[Any] | None = None


def visit_of(request: HttpRequest) -> CustomerVisit | None:
    """Return the visit of a customers' site, or None for a request to the admin of the staff."""
    visit: CustomerVisit | None = getattr(request, VISIT_KEY, None)
    return visit


def permits(request: HttpRequest, codename: str) -> bool:
    """Return whether the site lets the user do an operation, such as "change_webhook", in any organization.

    Staff need Django's permission. On a customers' site only the access policy decides. The sites differ only here.
    """
    visit = visit_of(request)
    if visit is not None:
        return visit.permits(request, codename)
    return bool(request.user.has_perm(f"tms_webhooks.{codename}"))


def may_view_webhooks(request: HttpRequest) -> bool:
    """Return whether the site lets the user view webhooks, on pages of other models."""
    return permits(request, "view_webhook") or permits(request, "change_webhook")


def _log_entry(request: HttpRequest, row: Any, flag: int, message: Any = "") -> LogEntry:
    """Return an entry that names its row by the public id: "Recent actions" links to it, also for staff."""
    user: Any = request.user
    return LogEntry(
        user_id=user.pk,
        content_type=ContentType.objects.get_for_model(row, for_concrete_model=False),
        object_id=row.public_id,
        object_repr=str(row)[:MAX_LOGGED_TEXT],
        action_flag=flag,
        change_message=message if isinstance(message, str) else json.dumps(message),
    )


class PublicIDAdmin(ModelAdmin):
    """Pages that name their rows by public ids: keys would count the rows of all organizations."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return whether the index lists these pages."""
        return self._permits(request, "view", "add", "change", "delete")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the site lets the user view rows."""
        return self._permits(request, "view", "change")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return whether the site lets the user add rows."""
        return self._permits(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the site lets the user change rows."""
        return self._permits(request, "change")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the site lets the user delete rows."""
        return self._permits(request, "delete")

    def _permits(self, request: HttpRequest, *verbs: str) -> bool:
        return any(permits(request, f"{verb}_{self.opts.model_name}") for verb in verbs)

    def by_url(self, request: HttpRequest, object_id: str) -> Q:
        """Return the filter for the row of a URL. Only superusers find rows by their keys."""
        is_key = object_id.isascii() and object_id.isdecimal() and len(object_id) <= MAX_KEY_DIGITS
        may_use_keys = bool(getattr(request.user, "is_superuser", False))
        if is_key and may_use_keys:
            return Q(pk=int(object_id))
        return self._by_public_id(object_id)

    def _by_public_id(self, object_id: str) -> Q:
        found: Q = self.model.by_public_id(_unescaped(object_id))
        return found

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the row of a URL, or None."""
        return self.get_queryset(request).filter(self.by_url(request, object_id)).first()

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the page of a form, whose links get the public id as ``linked.pk``."""
        row = kwargs.get("obj")
        linked = None if row is None else linked_row(row)
        return super().render_change_form(request, {**context, "linked": linked}, *args, **kwargs)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """Show the history of a row, whose entries have its public id."""
        row = self.get_object(request, object_id)
        if row is not None:
            object_id, extra_context = quote(row.public_id), {**(extra_context or {}), "object": linked_row(row)}
        page: Any = super().history_view(request, object_id, extra_context)
        return page

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> LogEntry:
        """Add an entry to the history of a new row."""
        entry = _log_entry(request, obj, ADDITION, message)
        entry.save()
        return entry

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> LogEntry:
        """Add an entry to the history of a changed row."""
        entry = _log_entry(request, obj, CHANGE, message)
        entry.save()
        return entry

    def log_deletions(self, request: HttpRequest, queryset: Iterable[Any]) -> list[LogEntry]:
        """Add an entry to the history of each row that is deleted."""
        return LogEntry.objects.bulk_create([_log_entry(request, row, DELETION) for row in queryset])

    def render_delete_form(self, request: HttpRequest, context: dict[str, Any]) -> Any:
        """Return the page that confirms a deletion."""
        return super().render_delete_form(request, {**context, "object": linked_row(context["object"])})

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[Any, Any], set[Any], list[Any]]:
        """List the rows only, without links: no other rows are deleted."""
        rows = [str(row) for row in objs]
        allowed = all(self.has_delete_permission(request, row) for row in objs)
        return (
            rows,
            {self.opts.verbose_name_plural: len(rows)},
            set() if allowed else {self.opts.verbose_name},
            [],
        )

    def get_search_fields(self, request: HttpRequest) -> Any:
        """Return the fields that the list searches; none for Django's autocompletion, which answers with keys."""
        match = request.resolver_match
        return () if match is not None and match.url_name == "autocomplete" else super().get_search_fields(request)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the class that reads the list."""
        return PublicIDChangeList

    # Also copies the title of the column.
    @wraps(admin.ModelAdmin.action_checkbox)
    def action_checkbox(self, obj: Any) -> SafeString:  # type: ignore[override]
        """Return the checkbox of a row."""
        return super().action_checkbox(linked_row(obj))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the list. Django finds the selected rows by their keys, and names them so when it asks for confirmation."""
        selected = request.POST.getlist(ACTION_CHECKBOX_NAME)[:MAX_SELECTED]
        if selected:
            chosen = reduce(or_, map(self._by_public_id, selected))
            data = request.POST.copy()
            data.setlist(
                ACTION_CHECKBOX_NAME,
                list(map(str, self.get_queryset(request).filter(chosen).values_list("pk", flat=True))),
            )
            request.POST = data  # type: ignore[assignment]
        title = capfirst(self.opts.verbose_name_plural)
        page: HttpResponse = super().changelist_view(request, {"title": title, **(extra_context or {})})
        context = getattr(page, "context_data", None) or {}
        if "queryset" in context:
            context["queryset"] = [linked_row(row) for row in context["queryset"]]
        return page


@dataclass(frozen=True, slots=True)
class Select:
    """One filter of a list as a select: its options as (value, label, whether it is selected).

    ``range`` has the two ends of a filter that also takes a range of times.
    """

    title: str
    name: str
    options: list[tuple[str, str, bool]]
    range: Mapping[str, str] | None = None

    @property
    def is_set(self) -> bool:
        """Whether the filter limits the list."""
        return any(selected for _value, _label, selected in self.options) or any((self.range or {}).values())


def select_of(spec: Any) -> Select:
    """Return a filter of Django's as a select."""
    if isinstance(spec, admin.SimpleListFilter):
        name, options, value = str(spec.parameter_name), spec.lookup_choices, spec.value()
    else:
        values = spec.lookup_val or [None]
        name, options, value = spec.lookup_kwarg, spec.field.flatchoices, values[-1]
    chosen = [(str(key), str(label), str(key) == value) for key, label in options]
    return Select(str(spec.title), name, chosen, getattr(spec, "range", None))


class LogChangeList(PublicIDChangeList):
    """Reads the rows of a log by key, even for a single page: Django would search the whole table for more rows."""

    def get_results(self, request: HttpRequest) -> None:
        """Read the rows of the page."""
        super().get_results(request)
        if not self.multi_page:
            self.result_list = self.paginator.page(1).object_list
        self.result_list = list(self.result_list)
        log: Any = self.model_admin
        log.prepare_rows(request, self.result_list)
        searched_keys = self.paginator.searched_keys
        if searched_keys is not None:
            message = _(
                "Only the newest %(count)d rows were searched. Filter by webhook, or search, to find older ones."
            )
            messages.info(request, message % {"count": searched_keys})


class LogAdmin(PublicIDAdmin):
    """Read-only pages of a table that only the app writes; its list runs no COUNT over the whole table.

    Override `find`. The delete permission stays Django's, which checks it when an organization with all its rows is
    deleted. These pages offer no way to delete a row.
    """

    change_list_template = "admin/tms_webhooks/log.html"
    paginator = BoundedPaginator
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    search_terms: Any = ""
    """The kinds of search terms that `find` understands, for the help text."""

    class Media:
        css: ClassVar = {"all": ("tms_webhooks/pages.css",)}

    @property
    def search_help_text(self) -> Any:  # type: ignore[override]
        """The help text of the search box."""
        return gettext("Search for %(terms)s.") % {"terms": self.search_terms} if self.search_terms else ""

    def find(self, request: HttpRequest, queryset: QuerySet[Any], term: str) -> QuerySet[Any] | None:
        """Return the rows for a search term, using an index, or None if the term matches nothing."""
        return None

    def nothing_found(self, request: HttpRequest, term: str) -> str:
        """Return the message for a term that matches nothing."""
        terms = {"term": term[:80], "terms": self.search_terms}
        return gettext("No results for “%(term)s”. Search for %(terms)s.") % terms

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        """Add what the columns of a page of rows need, in as many queries for many rows as for few."""

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by key only: a text search would read the whole log."""
        term = search_term.strip()
        if not term:
            return queryset, False
        found = self.find(request, queryset, term)
        if found is None:
            self.message_user(request, self.nothing_found(request, term), messages.WARNING)
            return queryset.none(), False
        return found, False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the class that reads the list."""
        return LogChangeList

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: only the app writes these rows."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: only the app writes these rows."""
        return False

    def _without_unset_filters(self, request: HttpRequest) -> QueryDict:
        """Return the parameters without those of filters that are empty: a form also sends selects that select nothing."""
        kept = request.GET.copy()
        for name in request.GET:
            if not any(request.GET.getlist(name)) and self.lookup_allowed(name, "", request):
                del kept[name]
        return kept

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        """Remove the action that deletes the selected rows."""
        # Django passes the location since 6.1.
        options = {} if action_location is None else {"action_location": action_location}
        actions = super().get_actions(request, **options)
        return {name: action for name, action in actions.items() if name != "delete_selected"}

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Mapping[str, Any] | None = None
    ) -> HttpResponse:
        """Deny access: rows are deleted by pruning only."""
        raise PermissionDenied

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: Mapping[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one row."""
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "show_delete": False})

    def changelist_view(self, request: HttpRequest, extra_context: Mapping[str, Any] | None = None) -> HttpResponse:
        """Show the newest rows. A page that is not the last of many says that older ones may exist."""
        request.GET = self._without_unset_filters(request)  # type: ignore[assignment]
        page = super().changelist_view(request, extra_context)
        context = getattr(page, "context_data", None) or {}
        if "cl" in context:
            context["selects"] = [select_of(spec) for spec in context["cl"].filter_specs]
            context["most_rows"] = MAX_ROWS
        return page


def parse_event_id(term: str) -> uuid.UUID | None:
    """Return the UUID of an event id, with or without ``evt_`` and dashes, or None for any other text."""
    text = term.strip().lower().removeprefix(PUBLIC_PREFIX).replace("-", "")
    return uuid.UUID(hex=text) if _HEX.fullmatch(text) else None


def _unescaped(object_id: str) -> str:
    """Return the public id in a part of a URL, whether or not Django has escaped it, or has taken it for escaped.

    Django writes an underscore as ``_5F``, and reads ``_40`` as an at sign, which is the beginning of some ids.
    """
    text = object_id.replace("_5F", "_")
    return text if text[3:4] in ("", "_") else f"{text[:3]}_{ord(text[3]):02X}{text[4:]}"
