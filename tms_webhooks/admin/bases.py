"""What the pages share: Django's classes as the type checker wants them, and the page of a log."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property
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

MOST_ROWS = 1_000
FIRST_STEP = 20_000
LONGEST_STEP = 200_000
PATIENCE = 0.5
"""Seconds."""

_HEX = re.compile(r"[0-9a-f]{32}")


class BoundedPaginator(_Paginator):
    """Shows the first 1000 rows: to count all of a log takes longer than anybody wants to wait.

    It looks for their keys from the newest back, so many at a time: what the newest few have in common is found at once,
    whatever the database thinks of it, and what none has is given up when `PATIENCE` is over.
    """

    looked_through: int | None = None
    """How many keys were looked at, where that was not all."""

    @cached_property
    def keys(self) -> list[Any]:
        """The keys of the rows, or of the first 1000."""
        rows: Any = self.object_list
        every = rows.model._default_manager.values_list("pk", flat=True)
        newest, oldest = every.order_by("-pk").first(), every.order_by("pk").first()
        found: list[Any] = []
        if newest is None:
            return found
        upper, step, end = newest, FIRST_STEP, monotonic() + PATIENCE
        while upper >= oldest and len(found) < MOST_ROWS:
            if upper < newest and monotonic() > end:
                self.looked_through = newest - upper
                break
            here = rows.filter(pk__gt=upper - step, pk__lte=upper).values_list("pk", flat=True)
            found += here[: MOST_ROWS - len(found)]
            upper, step = upper - step, min(2 * step, LONGEST_STEP)
        return found

    @cached_property
    def count(self) -> int:
        """The number of rows, or 1000 where there are more."""
        return len(self.keys)

    def page(self, number: Any) -> Any:
        """Return the rows of one page."""
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        rows: Any = self.object_list
        # Of all rows, not of those that match: which these are is known.
        chosen = rows.model._default_manager.filter(pk__in=self.keys[first : first + self.per_page])
        return Page(like(rows, chosen), number, self)


def like(rows: Any, chosen: Any) -> Any:
    """Return ``chosen`` in the order of ``rows``, with what those read along and what they leave in the database."""
    chosen.query.select_related = rows.query.select_related
    chosen.query.deferred_loading = rows.query.deferred_loading
    chosen.query.order_by = rows.query.order_by
    return chosen


class LogChangeList(ChangeList):
    """Reads a page of a log by its keys also where it is the only one: Django would look for more rows through all of it."""

    def get_results(self, request: HttpRequest) -> None:
        """Find the rows of the page."""
        super().get_results(request)
        if not self.multi_page:
            self.result_list = self.paginator.page(1).object_list
        looked_through = self.paginator.looked_through
        if looked_through is not None:
            told = _("Only the newest %(count)d were looked through. Choose a webhook, or search, to find older ones.")
            messages.info(request, told % {"count": looked_through})


class LogAdmin(ModelAdmin):
    """A table that only the app writes: lists without COUNT over the whole, pages without a way to change anything.

    Override `find`. Who may delete is left as it is, because Django asks it before an organization with all its rows is
    deleted; here is no door to do it by.
    """

    paginator = BoundedPaginator
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    what_can_be_found: Any = ""

    @property
    def search_help_text(self) -> Any:  # type: ignore[override]
        """What can be found, below the box."""
        return gettext("Search for %(what)s.") % {"what": self.what_can_be_found} if self.what_can_be_found else ""

    def find(self, queryset: QuerySet[Any], term: str) -> QuerySet[Any] | None:
        """Return what is meant by a search term, by an index; None where nothing is."""
        return None

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by keys only: a search through the texts of a log would read all of it."""
        term = search_term.strip()
        if not term:
            return queryset, False
        found = self.find(queryset, term)
        if found is None:
            self.message_user(
                request,
                _("Nothing is found by “%(term)s”. Search for %(what)s.")
                % {
                    "term": term[:80],
                    "what": self.what_can_be_found,
                },
                messages.WARNING,
            )
            return queryset.none(), False
        return found, False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return how a list is read."""
        return LogChangeList

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        """Leave out the deletion of what is selected."""
        # Django asks for a place since 6.1.
        place = {} if action_location is None else {"action_location": action_location}
        actions = super().get_actions(request, **place)
        return {name: action for name, action in actions.items() if name != "delete_selected"}

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Mapping[str, Any] | None = None
    ) -> HttpResponse:
        """Refuse: old rows are pruned."""
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
        """Show the newest rows, and say that these are not all."""
        told = _("The newest %(most)d that match. Filter or search for older ones.") % {"most": MOST_ROWS}
        return super().changelist_view(request, {"subtitle": told, **(extra_context or {})})


def event_uid(term: str) -> uuid.UUID | None:
    """Return the key that is meant by an event's id, with or without ``evt_`` or dashes; None where it is none."""
    text = term.strip().lower().removeprefix(PUBLIC_PREFIX).replace("-", "")
    return uuid.UUID(hex=text) if _HEX.fullmatch(text) else None
