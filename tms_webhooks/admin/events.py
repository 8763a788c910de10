"""The events in the outbox: the list, the page of one event with its deliveries, the search, and why one was not sent.

A search finds events by type, id, object, the customer's own id, or name. It reads an index, and keys of at most
`MAX_EVENTS` events. Names are as private as payloads: they are searched only in organizations whose payloads the user may
view. Payload bodies are never searched.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from tms_webhooks import catalogue
from tms_webhooks.access import within
from tms_webhooks.admin.bases import (
    ScopedAdmin,
    allowed_among,
    allowed_keys,
    column,
    may_view_payloads,
    object_names,
    organizations,
    permits,
    sees_all,
)
from tms_webhooks.admin.formatting import format_moment, moment_cell
from tms_webhooks.admin.logs import LogAdmin, TypeFilter
from tms_webhooks.admin.words import (
    cut,
    delivery_rows,
    event_text,
    object_text,
    with_row_columns,
)
from tms_webhooks.catalogue import registry
from tms_webhooks.choices import Action, ActorKind, CheckResult
from tms_webhooks.conf import app_settings
from tms_webhooks.filters.condition import in_words
from tms_webhooks.manage.deliveries import try_again
from tms_webhooks.models import Delivery, Event, FanOutFailure, Webhook
from tms_webhooks.models.audience import visible_to
from tms_webhooks.models.event import MOST_TRIES, PUBLIC_PREFIX, searchable

if TYPE_CHECKING:
    from tms_webhooks.admin.webhooks import WebhookAdmin
    from tms_webhooks.routing.explain import Clause, Explanation

# Search

MAX_EVENTS = 1_000
MAX_TERM_LENGTH = 120
SHORTEST_NAME = 2
FIRST_SPAN = timedelta(hours=2)
"""The time back from now in which a name is searched first; then four times as far back, and so on."""
MAX_NAME_SECONDS = 0.5
_HEX = re.compile(r"[0-9a-f]{32}")


def event_keys(request: HttpRequest, term: str, *, now: datetime) -> list[int]:
    """Return the keys of the newest events that a term means, not limited to those that the user may view.

    Searched once per request and term.
    """
    cached: dict[str, list[int]] = request.__dict__.setdefault("_tms_webhooks_found", {})
    if term not in cached:
        # The id of an event, with or without ``evt_`` and dashes.
        digits = term.strip().lower().removeprefix(PUBLIC_PREFIX).replace("-", "")
        cached[term] = _newest(Event.objects.filter(uid=uuid.UUID(hex=digits))) if _HEX.fullmatch(digits) else []
        # Otherwise a UUID is the id of an object.
        if not cached[term] and len(term) <= MAX_TERM_LENGTH:
            keys = [*_newest(_of_subject(term)), *_newest(Event.objects.with_external_id(term))]
            cached[term] = keys + named_event_keys(request, term, now=now)
    return cached[term]


def found_by_event(request: HttpRequest, queryset: QuerySet, term: str, *, path: str = "") -> QuerySet:
    """Return the rows whose events a term means; ``path`` is the lookup path to the event, such as "event__"."""
    types = catalogue.expand(term)
    if types:
        return queryset.filter(**{f"{path}type__in": [event_type.name for event_type in types]})
    keys = event_keys(request, term, now=timezone.now())
    return queryset.filter(pk__in=list(queryset.filter(**{f"{path}pk__in": keys}).values_list("pk", flat=True)))


def visible_events(request: HttpRequest, term: str) -> int:
    """Return how many of the newest events that a term means the user may view."""
    keys = event_keys(request, term, now=timezone.now())
    visible = visible_to(allowed_keys(request, Action.VIEW))
    return Event.objects.filter(visible, pk__in=keys).count() if keys else 0


def named_event_keys(request: HttpRequest, term: str, *, now: datetime) -> list[int]:
    """Return the keys of the newest events with a text in their names, while names are kept.

    The index ``tms_event_by_age`` has the names, so that no row is read. The search stops after `MAX_NAME_SECONDS`.
    """
    if len(searchable(term).strip()) < SHORTEST_NAME or not permits(request, "view_event"):
        return []
    rows = Event.objects.named(term)
    if not sees_all(request, Action.VIEW_PAYLOAD):
        rows = rows.filter(visible_to(allowed_keys(request, Action.VIEW_PAYLOAD)))
    found: list[int] = []
    oldest, end = now - timedelta(days=app_settings.KEEP_PAYLOADS_DAYS), monotonic() + MAX_NAME_SECONDS
    # Clocks of hosts differ: an event may have happened in the future.
    until, length = now + timedelta(days=1), FIRST_SPAN
    while until > oldest and len(found) < MAX_EVENTS:
        if length > FIRST_SPAN and monotonic() > end:
            message = _("Names of events before %(moment)s were not searched. Search for an id to find older ones.")
            messages.info(request, message % {"moment": format_moment(until)})
            break
        since = max(now - length, oldest)
        span = rows.filter(occurred_at__gte=since, occurred_at__lt=until).order_by("-occurred_at")
        found += span.values_list("pk", flat=True)[: MAX_EVENTS - len(found)]
        until, length = since, 4 * length
    return found


def _of_subject(term: str) -> QuerySet:
    """Return the events of an object: ``enrollment:42``, or ``42`` for any noun."""
    from tms_webhooks.models.event import Subject

    try:
        return Subject.parse(term).events
    except ValueError:
        # The index begins with the noun, so a search by id alone lists all nouns.
        return Event.objects.filter(
            subject_type__in=[*registry.grouped()], subject_id__in=sorted(Subject("", term).ids)
        )


def _newest(events: QuerySet) -> list[int]:
    return list(events.order_by("-pk").values_list("pk", flat=True)[:MAX_EVENTS])


# The list, and the page of one event

MAX_DELIVERIES = 100
MAX_WEBHOOKS = 100
MAX_EXPLAINED = 10
FILTER_LABELS = {
    "course": _("course"),
    "class": _("class"),
    "organization": _("organization"),
    "status_from": _("status before"),
    "status_to": _("status after"),
    "completion_status": _("completion status"),
    "actor_kind": _("actor"),
}


class SetAsideFilter(admin.SimpleListFilter):
    """Keeps the events whose fan-out failed five times."""

    title = _("fan-out")
    parameter_name = "fan_out"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return [("failed", _("Set aside"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.set_aside() if self.value() else queryset


@admin.register(Event)
class EventAdmin(LogAdmin):
    """Events of the user's organizations, and of their learners in other organizations, newest first."""

    list_display = ("object", "event_type", "organization", "occurred", "problem")
    list_filter = (TypeFilter, SetAsideFilter)
    search_fields = ("uid",)
    actions = ("try_again",)

    object = column(_("object"), lambda event: event.object_text)
    event_type = column(_("event"), event_text)
    occurred = column(_("occurred"), lambda event: moment_cell(event.occurred_at))
    problem = column(_("error"), lambda event: cut(event.error))

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Select the organizations together with the events; in the list, without payloads."""
        rows = super(ScopedAdmin, self).get_queryset(request).select_related("organization")
        match = request.resolver_match
        rows = rows if match is not None and "object_id" in match.kwargs else rows.defer("body")
        return rows if sees_all(request, Action.VIEW) else rows.filter(visible_to(allowed_keys(request, Action.VIEW)))

    def may(self, request: HttpRequest, action: Action, obj: Any) -> bool:
        """Return whether the user may do ``action`` in the object's organization or in the learner's."""
        if obj is None:
            return super().may(request, action, obj)
        return bool(allowed_among(request, action, obj.viewers))

    find = staticmethod(found_by_event)

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        """Make the texts of the objects."""
        # One query for all organizations.
        allowed_among(request, Action.VIEW_PAYLOAD, set().union(*(event.viewers for event in rows)))
        for event in rows:
            event.object_text = object_text(event, is_named=self.may(request, Action.VIEW_PAYLOAD, event))

    @admin.action(description=_("Try selected again"), permissions=["resend"])
    def try_again(self, request: HttpRequest, queryset: Any) -> None:
        """Have the selected events that are set aside fanned out again."""
        if not sees_all(request, Action.REPLAY):
            queryset = queryset.filter(visible_to(allowed_keys(request, Action.REPLAY)))
        count = try_again(queryset)
        text = ngettext("%(count)d event is tried again.", "%(count)d events are tried again.", count)
        self.message_user(request, text % {"count": count}, messages.SUCCESS if count else messages.WARNING)

    def show(self, request: HttpRequest, row: Event) -> HttpResponse:
        """Show one event, with its deliveries and the webhooks that have none."""
        from tms_webhooks.documents.request_preview import pretty

        webhooks = Webhook.objects.filter(organization__in=allowed_keys(request, Action.VIEW))
        deliveries = with_row_columns(Delivery.objects.filter(event=row, webhook__in=webhooks))
        shown = list(deliveries.order_by("pk")[:MAX_DELIVERIES])
        shows_payload = self.may(request, Action.VIEW_PAYLOAD, row)
        kinds: dict[str, Any] = dict(ActorKind.choices)
        return self.page(
            request,
            "event/page",
            row,
            event=row,
            actor=f"{kinds.get(row.actor_kind, row.actor_kind)} {'' if row.is_copy else row.actor_id}".strip(),
            title=f"{row.type} {row.subject_type}:{row.subject_id}",
            rows=delivery_rows(shown, request, now=timezone.now()) if permits(request, "view_delivery") else None,
            set_aside=FanOutFailure.objects.filter(pk=row.pk, tries=MOST_TRIES).first(),
            is_waiting=row.fanned_out_at is None or any(delivery.due_at is not None for delivery in shown),
            others=_others(request, webhooks, row, shown) if shows_payload else (),
            type=event_text(row),
            object=object_text(row, is_named=shows_payload),
            body=pretty(row.body) if shows_payload else None,
        )


def _others(
    request: HttpRequest, webhooks: QuerySet, event: Event, deliveries: Sequence[Delivery]
) -> Sequence[tuple[Webhook, str]]:
    """Return the webhooks without a delivery of an event, the first ones with the reason: those whose payloads the user may view."""
    if not permits(request, "view_webhook"):
        return ()
    others = within(webhooks, organizations(request, Action.VIEW_PAYLOAD)).filter(deleted_at__isnull=True)
    others = others.exclude(pk__in=[one.webhook_id for one in deliveries]).select_related("state")
    if event.webhook_id is not None:
        # Of a snapshot: no other webhook could have one.
        others = others.filter(pk=event.webhook_id)
    found = list(others.order_by("name", "pk")[:MAX_WEBHOOKS])
    reasons = [
        _main_clause(_explanation_of(webhook, event, object_names(request, webhook.subscriptions.all()))).sentence
        for webhook in found[:MAX_EXPLAINED]
    ]
    return [*zip(found, reasons + [""] * (len(found) - len(reasons)), strict=True)]


def _explanation_of(webhook: Webhook, event: Event, objects: Mapping[str, Mapping[str, str]]) -> Explanation:
    """Return why a webhook receives an event or not, with the names of ``objects`` and the event's values.

    The user may view its payload.
    """
    from tms_webhooks.admin.forms.subscription import labels_of
    from tms_webhooks.monitoring.words import check_sentence
    from tms_webhooks.routing.explain import explain
    from tms_webhooks.routing.subscription_rules import event_values

    explanation, values = explain(webhook, event), event_values(event)
    clauses = []
    for clause in explanation.clauses:
        if clause.check is not None:
            name = clause.name.removeprefix("filters.")
            names = {**labels_of(name, catalogue.expand(event.type)), **objects.get(name, {})}
            label, met = str(FILTER_LABELS.get(name, "")), clause.verdict is CheckResult.YES
            text = check_sentence(clause.check, values, partial(_in_names, names), label=label, met=met)
            clause = clause._replace(sentence=text)
        clauses.append(clause)
    return explanation._replace(clauses=tuple(clauses))


def _in_names(names: Mapping[Any, Any], values: Iterable[Any], own_name: Any = None) -> str:
    """Return values of a filter in words, with their names."""
    ordered = sorted(values, key=str)
    if own_name:
        # Two courses may have one name.
        return f"{own_name} ({in_words(tuple(ordered))})" if own_name in names.values() else own_name
    return in_words(tuple(names.get(value) or names.get(str(value), value) for value in ordered))


def _main_clause(explanation: Explanation) -> Clause:
    """Return the first check that failed; a filter that failed says more than a subscription to other events.

    If none failed, the clause has the summary, and no name.
    """
    failed = [one for one in explanation.clauses if one.verdict is explanation.verdict is not CheckResult.YES]
    if not failed:
        return explanation.clauses[0]._replace(name="", sentence=explanation.summary)
    main = min(failed, key=lambda one: one.name == "event_type")
    if main.name == "event_type" and len(failed) > 1:
        main = main._replace(sentence=str(_("No subscription includes this event type.")))
    return main


# Why a webhook received an event, or did not


def explain_page(admin: WebhookAdmin, request: HttpRequest, key: str) -> HttpResponse:
    """Search for events, and explain for the newest of them why the webhook received it or did not."""
    webhook = admin.row_of(request, key)
    if not may_view_payloads(request, webhook):
        raise PermissionDenied
    # PostgreSQL refuses a NUL in a text.
    term = request.GET.get("event", "").replace("\x00", "").strip()
    keys = event_keys(request, term, now=timezone.now()) if term else []
    visible = visible_to(allowed_keys(request, Action.VIEW)) & visible_to(allowed_keys(request, Action.VIEW_PAYLOAD))
    events = Event.objects.filter(visible, pk__in=keys).order_by("-pk")[:MAX_EXPLAINED]
    subscriptions, answers = {one.pk: one for one in webhook.subscriptions.all()}, []
    names = object_names(request, subscriptions.values()) if keys else {}
    for event in events:
        explanation = _explanation_of(webhook, event, names)
        main = _main_clause(explanation)
        shown = object_text(event, is_named=True)
        answers.append((event, shown, explanation, main, subscriptions.get(main.subscription_id)))
    context = {
        "title": _("Why was an event not sent?"),
        "help": _(
            "The name of a learner, class or course; an object, such as class:9; an external id; or an event id, evt_…."
        ),
        "term": term,
        "answers": answers,
        "most": MAX_EXPLAINED,
        "may_change": admin.has_change_permission(request, webhook) and admin.may_use(request, Action.MANAGE, webhook),
    }
    return admin.webhook_page(request, "explain", webhook, **context)
