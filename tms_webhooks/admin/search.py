"""Finds the events that a search term means: by type, id, object, the customer's own id, or name.

Each search reads an index, and keys of at most `MAX_EVENTS` events. Names are as private as payloads: they are searched
only in organizations whose payloads the user may view. Payload bodies are never searched.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from time import monotonic

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from tms_webhooks.admin.formatting import format_moment
from tms_webhooks.admin.scope import allowed_keys, permits, sees_all
from tms_webhooks.catalogue import registry
from tms_webhooks.choices import Action
from tms_webhooks.conf import app_settings
from tms_webhooks.models import Event
from tms_webhooks.models.event import PUBLIC_PREFIX
from tms_webhooks.models.subjects import Subject
from tms_webhooks.outbox.feed import visible_to

MAX_EVENTS = 1_000
MAX_TERM_LENGTH = 64
SHORTEST_NAME = 2
FIRST_SPAN = timedelta(hours=2)
"""The time in which a name is searched first; then the time before it, four times as long, and so on."""
MAX_NAME_SECONDS = 0.5
_CACHE = "_tms_webhooks_found"
_HEX = re.compile(r"[0-9a-f]{32}")

TERMS = gettext_lazy(
    "the name of a learner, class or course; an object, such as enrollment:42; an id or external id; an event type; an "
    "event id, evt_…"
)


def event_keys(request: HttpRequest, term: str, *, now: datetime) -> list[int]:
    """Return the keys of the newest events that a term means, not limited to those that the user may view.

    Searched once per request and term.
    """
    cached: dict[str, list[int]] = request.__dict__.setdefault(_CACHE, {})
    if term not in cached:
        uid = parse_event_id(term)
        cached[term] = [] if uid is None else _newest(Event.objects.filter(uid=uid))
        # Otherwise a UUID is the id of an object.
        if not cached[term] and len(term) <= MAX_TERM_LENGTH:
            keys = [*_newest(_of_subject(term)), *_newest(Event.objects.with_external_id(term))]
            cached[term] = keys + named_event_keys(request, term, now=now)
    return cached[term]


def parse_event_id(term: str) -> uuid.UUID | None:
    """Return the UUID of an event id, with or without ``evt_`` and dashes, or None for any other text."""
    text = term.strip().lower().removeprefix(PUBLIC_PREFIX).replace("-", "")
    return uuid.UUID(hex=text) if _HEX.fullmatch(text) else None


def visible_events(request: HttpRequest, term: str) -> int:
    """Return how many of the newest events that a term means the user may view."""
    keys = event_keys(request, term, now=timezone.now())
    visible = visible_to(allowed_keys(request, Action.VIEW))
    return Event.objects.filter(visible, pk__in=keys).count() if keys else 0


def named_event_keys(request: HttpRequest, term: str, *, now: datetime) -> list[int]:
    """Return the keys of the newest events with a text in their names, while names are kept.

    The index ``tms_event_by_age`` has the names, so that no row is read. The search stops after `MAX_NAME_SECONDS`.
    """
    if len(term) < SHORTEST_NAME or not permits(request, "view_event"):
        return []
    rows = Event.objects.named(term)
    if not sees_all(request, Action.VIEW_PAYLOAD):
        rows = rows.filter(visible_to(allowed_keys(request, Action.VIEW_PAYLOAD)))
    found: list[int] = []
    end = monotonic() + MAX_NAME_SECONDS
    for since, until in _spans(now):
        span = rows.filter(occurred_at__gte=since, occurred_at__lt=until).order_by("-occurred_at")
        found += span.values_list("pk", flat=True)[: MAX_EVENTS - len(found)]
        if len(found) >= MAX_EVENTS:
            break
        if monotonic() > end:
            message = _("Names of events before %(moment)s were not searched. Search for an id to find older ones.")
            messages.info(request, message % {"moment": format_moment(since)})
            break
    return found


def kept_days() -> int:
    """Return for how many days events are kept, to be found by all but their names."""
    return max(app_settings.KEEP_PAYLOADS_DAYS, app_settings.KEEP_ATTEMPTS_DAYS)


def names_kept() -> str:
    """Return for how long names are searched, as a sentence."""
    days = app_settings.KEEP_PAYLOADS_DAYS
    text = ngettext(
        "Names are found only in events of the last %(days)d day, and only where you may view payloads.",
        "Names are found only in events of the last %(days)d days, and only where you may view payloads.",
        days,
    )
    return text % {"days": days}


def _spans(now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield the times to search for a name, as (since, until), from the newest back."""
    oldest, length = now - timedelta(days=app_settings.KEEP_PAYLOADS_DAYS), FIRST_SPAN
    # Clocks of hosts differ: an event may have happened in the future.
    since, until = now - length, now + timedelta(days=1)
    while until > oldest:
        yield max(since, oldest), until
        length *= 4
        since, until = since - length, since


def _of_subject(term: str) -> QuerySet[Event]:
    """Return the events of an object: ``enrollment:42``, or ``42`` for any noun."""
    try:
        return Subject.parse(term).events
    except ValueError:
        # The index begins with the noun, so a search by id alone lists all nouns.
        return Event.objects.filter(
            subject_type__in=[*registry.grouped()], subject_id__in=sorted(Subject("", term).ids)
        )


def _newest(events: QuerySet[Event]) -> list[int]:
    return list(events.order_by("-pk").values_list("pk", flat=True)[:MAX_EVENTS])
