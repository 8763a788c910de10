"""Deliveries and events as the lists show them: the object by its name, the outcome with its HTTP code, and when.

Names of objects are as private as payloads. A list asks once which organizations' payloads its user may view, and reads
the codes of all its rows together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tms_webhooks import catalogue
from tms_webhooks.admin.bases import permits
from tms_webhooks.admin.formatting import EMPTY, format_duration
from tms_webhooks.admin.scope import allowed_among
from tms_webhooks.choices import Action, DeliveryStatus, ErrorClass
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery.next_attempt import next_attempt_at
from tms_webhooks.models import Delivery, DeliveryAttempt, Event
from tms_webhooks.models.webhook import heavy_columns
from tms_webhooks.sources.deadlines import zone_of

SMALL = 'class="tms-small"'


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One delivery in words.

    Attributes:
        object: Name and ids of its object; without the name for a user who may not view payloads.
        outcome: Its status in its color, with the HTTP code of the last attempt, or the kind of its error.
        when: When it was finished, or is attempted next: "in 42 s".
    """

    delivery: Delivery
    object: SafeString
    event: SafeString
    webhook: SafeString
    outcome: SafeString
    when: SafeString
    attempts: str


def delivery_rows(deliveries: Sequence[Delivery], request: HttpRequest, *, now: datetime) -> list[DeliveryRow]:
    """Return these deliveries, which have their events and webhooks loaded, in two queries."""
    events = named_events((one.event for one in deliveries), request)
    owners = {one.webhook.organization_id for one in deliveries if one.event_id in events}
    shown = allowed_among(request, Action.VIEW_PAYLOAD, owners) if owners else set()
    codes = _last_codes(deliveries)
    return [
        DeliveryRow(
            delivery=one,
            object=object_text(one.event, is_named=one.event_id in events and one.webhook.organization_id in shown),
            event=event_text(one.event),
            webhook=cut(one.webhook.name),
            outcome=_outcome(one, codes.get(one.pk)),
            when=_when(one, now=now),
            attempts=attempts_text(one.attempts),
        )
        for one in deliveries
    ]


def named_events(events: Iterable[Event], request: HttpRequest) -> set[int]:
    """Return the keys of those events that have a name which the user may see, in one query."""
    if not permits(request, "view_event"):
        return set()
    owners = {one.pk: {one.organization_id, one.learner_organization_id} - {None} for one in events if one.subject_name}
    shown = allowed_among(request, Action.VIEW_PAYLOAD, set().union(*owners.values())) if owners else set()
    return {key for key, organizations in owners.items() if organizations & shown}


def object_text(event: Event, *, is_named: bool) -> SafeString:
    """Return the object of an event: its name if it may be shown, its noun and id, and the customer's own id."""
    ids = " · ".join(filter(None, (f"{event.subject_type}:{event.subject_id}", event.external_id)))
    if not (is_named and event.subject_name):
        return cut(ids)
    return format_html("{} {}", cut(event.subject_name), cut(ids, SMALL))


def event_text(event: Event) -> SafeString:
    """Return the event type, with its sentence as the tooltip."""
    known = catalogue.expand(event.type)
    return cut(event.type, title=known[0].summary if known else event.type)


def cut(text: str, attributes: str = "", *, title: str = "") -> SafeString:
    """Return a text that the page cuts where its column ends, with the whole as its tooltip."""
    css = "tms-cut tms-small" if attributes == SMALL else "tms-cut"
    return format_html('<span class="{}" title="{}" dir="auto">{}</span>', css, title or text, text)


def attempts_text(count: int) -> str:
    """Return "6 attempts"; a dash for none."""
    return ngettext("%(count)d attempt", "%(count)d attempts", count) % {"count": count} if count else EMPTY


def with_row_columns(deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """Load what `delivery_rows` shows together with the deliveries, without payloads and secrets."""
    relations = ["event", "webhook"]
    if _has_zones():
        relations.append("webhook__organization")
    return deliveries.select_related(*relations).defer("event__body", "event__error", *heavy_columns())


def _has_zones() -> bool:
    """Return whether organizations have time zones of their own."""
    return bool(app_settings.ORGANIZATION_FIELDS.get("time_zone"))


def _last_codes(deliveries: Collection[Delivery]) -> dict[int, int]:
    """Return the HTTP codes of the last attempts. By the unique constraint ``tms_attempt_number_once``."""
    tried = [one.pk for one in deliveries if one.attempts]
    if not tried:
        return {}
    rows = DeliveryAttempt.objects.filter(delivery__in=tried, number=F("delivery__attempts"))
    return {key: code for key, code in rows.values_list("delivery_id", "status_code") if code is not None}


def outcome_detail(delivery: Delivery, code: int | None) -> str:
    """Return the HTTP code of the last attempt, or the kind of its error: an answer may have a code and fail otherwise."""
    if code is not None and delivery.error_class in ("", ErrorClass.HTTP_STATUS):
        return f"HTTP {code}"
    return str(delivery.get_error_class_display()) if delivery.error_class else ""


def was_not_retried(delivery: Delivery) -> bool:
    """Return whether a delivery was given up after its only attempt, as a test is."""
    return delivery.status == DeliveryStatus.EXHAUSTED and delivery.attempts == 1


def status_text(delivery: Delivery) -> str:
    """Return the status for a page. A delivery that had no retry did not fail after all retries."""
    return _("Failed, no retry") if was_not_retried(delivery) else str(delivery.get_status_display())


def _outcome(delivery: Delivery, code: int | None) -> SafeString:
    return format_html(
        '<span class="tms-status tms-{}">{}</span> <span class="tms-small">{}</span>',
        delivery.status,
        status_text(delivery),
        outcome_detail(delivery, code),
    )


def _when(delivery: Delivery, *, now: datetime) -> SafeString:
    """Return when an open delivery is attempted next, or when a finished one was finished."""
    at = next_attempt_at(delivery, now=now)
    if at is None and delivery.due_at is not None:
        return format_html("{}", _("now") if delivery.status == DeliveryStatus.IN_FLIGHT else EMPTY)
    moment = at or delivery.finished_at or delivery.created_at
    local = timezone.localtime(moment, zone_of(delivery.webhook.organization) if _has_zones() else None)
    clock = formats.date_format(local, "H:i:s")
    # The page's own zone goes without saying.
    if local.utcoffset() != timezone.localtime(moment).utcoffset():
        clock = f"{clock} {local.tzname()}"
    if at is None:
        text, small = clock, formats.date_format(local, "DATE_FORMAT")
    elif at > now:
        text, small = _("in %(duration)s") % {"duration": format_duration((at - now).total_seconds())}, clock
    else:
        text, small = _("due"), clock
    title = f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}"
    return format_html(
        '<time datetime="{}" title="{}">{} <span class="tms-small">{}</span></time>',
        moment.isoformat(),
        title,
        text,
        small,
    )
