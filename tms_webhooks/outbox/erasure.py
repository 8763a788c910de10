"""Erases a person: blanks the payloads of events about them, and keeps the events' types, times and ids.

Also erased are the person's name in audit entries, jobs, contacts and recipients of notifications, and the last recorded states of their objects.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import models, router, transaction
from django.db.models import Q

from tms_webhooks.catalogue.custom import ROOT
from tms_webhooks.choices import ActorKind, DeliveryStatus
from tms_webhooks.db.sql import key_in
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import (
    AuditEntry,
    Delivery,
    DeliveryAttempt,
    DeliveryBody,
    Event,
    Job,
    Notification,
    SourceState,
    Webhook,
    WebhookState,
)
from tms_webhooks.models.audit import LONGEST_LABEL
from tms_webhooks.models.event import Subject
from tms_webhooks.payloads.envelope import from_text
from tms_webhooks.sources import states
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.registry import all_sources, sources_of
from tms_webhooks.sources.rows import at_keys, read_rows, read_whole
from tms_webhooks.sources.stored_rows import key_of
from tms_webhooks.validators import shorten

# Events that one transaction erases, and last recorded states that one refreshes.
BATCH = 200
# The fields with one mail address per line.
CONTACT_FIELDS: tuple[tuple[type[models.Model], str], ...] = (
    (Webhook, "contacts"),
    (Notification, "recipients"),
)

# An object in a payload with an id and one of these keys is a person: every noun writes people this way.
PERSON_FIELDS = frozenset({"first_name", "last_name", "email"})
# The noun whose objects are people.
PERSON = "user"

logger = logging.getLogger(__name__)


class Erased(NamedTuple):
    """The numbers of erased rows. ``in_flight`` events are being sent: erase again when they are done."""

    events: int
    cancelled: int
    in_flight: int
    mentions: int


def erase(
    person: Any,
    *,
    now: datetime,
    names: Collection[str] = (),
    dry_run: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Erased:
    """Blank the payloads, rendered bodies, responses and errors of all events about a person.

    ``person`` is the host's object, or the id that payloads give it; in that case ``names`` are the user name and the
    e-mail address. Queued deliveries of these events are cancelled: nothing is left to send. Types, times, numbers and ids
    are kept. A host's own field is searched for values that are one of the names. Free text that others wrote is not
    searched.
    """
    own = {str(getattr(person, "email", None) or "")} if isinstance(person, models.Model) else set()
    own |= {str(person.get_username())} if hasattr(person, "get_username") else set()
    key, names = _key(person), own.union(names) - {""}
    batches = _batches(key, names, stop=stop)
    if dry_run:
        return Erased(sum(map(len, batches)), 0, 0, 0)
    events = cancelled = in_flight = 0
    for batch in batches:
        with transaction.atomic(using=router.db_for_write(Event)):
            sending, newly_cancelled = _cancel_deliveries(batch, now=now)
            _blank([pk for pk in batch if pk not in sending])
        events += len(batch) - len(sending)
        cancelled += newly_cancelled
        in_flight += len(sending)
    mentions = _erase_mentions(key, names, now=now)
    logger.info("erased events=%s cancelled=%s in_flight=%s", events, cancelled, in_flight)
    return Erased(events, cancelled, in_flight, mentions)


def _key(person: Any) -> str:
    """Return the id that payloads give a person."""
    if not isinstance(person, models.Model):
        return str(person)
    using = person._state.db or router.db_for_read(type(person))
    for source in sources_of(type(person)):
        if source.noun.name == PERSON and person.pk is not None:
            raw = read_whole(source, key_of(source, person), using=using)
            return str(person.pk if raw is None else source.canonical(raw)["id"])
    raise PayloadError(
        f"{person._meta.label} is registered for no source of {PERSON!r}; pass the id that payloads give the person."
    )


def _batches(key: str, names: Collection[str], *, stop: Callable[[], bool]) -> Iterator[list[int]]:
    """Yield the keys of events about a person that are not blank, in batches, oldest first."""
    # Compact JSON has no spaces after a colon. This finds candidates; `_is_about` parses the payload.
    likely = Q(subject_type=PERSON, subject_id__in=Subject(PERSON, key).ids)
    for spelling in json_spellings(key):
        likely |= Q(body__contains=f'"id":{spelling}')
    for name in names:
        likely |= Q(body__contains=json.dumps(name, ensure_ascii=False))
    rows = Event.objects.filter(likely).exclude(body="", error="", external_id="", subject_name="").order_by("pk")
    last = 0
    while not stop():
        found = list(rows.filter(pk__gt=last).values_list("pk", "subject_type", "body")[:BATCH])
        if not found:
            return
        last = found[-1][0]
        about = [pk for pk, subject_type, body in found if _is_about(key, names, subject_type, body)]
        if about:
            yield about


def _is_about(key: str, names: Collection[str], subject_type: str, body: str) -> bool:
    if not body:
        return subject_type == PERSON
    try:
        event = from_text(body)
        # Any field of the host's own may name a person, as an e-mail address does.
        own = (event[part].get(ROOT) for part in ("data", "previous") if isinstance(event.get(part), dict))
        texts = {value for one in own for value in _values_in(one) if isinstance(value, str)}
        return key in people_in(event) or not texts.isdisjoint(names)
    except ValueError:
        return True


def _cancel_deliveries(events: Sequence[int], *, now: datetime) -> tuple[set[int], int]:
    """Cancel the open deliveries; return the events that may be in flight, and the number of cancelled deliveries.

    An event may also be in flight if it was merged into another event that may be.
    """
    # The locks keep workers from fanning these events out until the transaction ends.
    list(Event.objects.select_for_update().filter(pk__in=events).order_by("pk").values_list("pk", flat=True))
    deliveries = Delivery.objects.filter(event__in=events)
    WebhookState.objects.lock(deliveries.order_by().values_list("webhook_id", flat=True).distinct())
    periods = dict(deliveries.filter(status=DeliveryStatus.MERGED).values_list("event_id", "quiet_period"))
    carriers = Delivery.objects.of_quiet_periods(periods.values()).maybe_in_flight(now)
    sending = set(carriers.values_list("quiet_period", flat=True))
    merged = {event_id for event_id, period in periods.items() if period in sending}
    merged |= set(deliveries.maybe_in_flight(now).values_list("event_id", flat=True))
    return merged, deliveries.finish(DeliveryStatus.CANCELLED, now=now)


def _blank(events: Sequence[int]) -> None:
    rows = Event.objects.filter(pk__in=events)
    rows.update(body="", error="", external_id="", subject_name="", searched_name="")
    deliveries = Delivery.objects.filter(event__in=events)
    # Merged events are also erased in the body of the event that carries them, which is sent without them.
    periods = deliveries.filter(quiet_period__isnull=False).values_list("quiet_period", flat=True)
    carriers = Delivery.objects.of_quiet_periods(periods).values_list("pk", flat=True)
    keys = [*deliveries.values_list("pk", flat=True), *carriers]
    DeliveryBody.objects.filter(key_in(keys)).delete()
    # Without its outline, the page of a carrier shows no request: its body was another one.
    attempts = DeliveryAttempt.objects.filter(delivery__in=keys)
    attempts.update(response_headers="", response_body="", message="", request="")


def _erase_mentions(key: str, names: Collection[str], *, now: datetime) -> int:
    """Remove a person from rows that are no events; return the number of changed rows.

    The name is blanked in audit entries and jobs, and the address removed from contacts, also from those that audit entries
    list. The last recorded states about the person are replaced by the host's current rows. The states of deleted rows are
    deleted. So the next reconciliation does not emit old values that the host blanked or deleted by raw SQL. Values that the host still has are kept: erase them there first.
    """
    # The id of an API key may equal that of a person. Its name does not.
    of_person = Q(actor_id=key, actor_kind__in=(ActorKind.USER, ActorKind.ADMINISTRATOR))
    for name in names:
        of_person |= Q(actor_label__iexact=name[:LONGEST_LABEL])
    count = AuditEntry.objects.filter(of_person).exclude(actor_label="").update(actor_label="")
    count += Job.objects.filter(requested_by__in=names).update(requested_by="")
    count += sum(_remove_contact(name, *one) for name in names for one in CONTACT_FIELDS)
    count += _remove_audited_contacts(names)
    return count + sum(_refresh_source(source, key, now=now) for source in all_sources() if source.reconcile)


def _remove_contact(name: str, model: type[models.Model], field: str) -> int:
    """Remove a mail address from a field with one address per line; return the number of rows."""
    count, rows = 0, model._default_manager
    with transaction.atomic(using=router.db_for_write(model)):
        # Locked, so that a concurrent change of the list is not overwritten.
        found = rows.select_for_update().filter(**{f"{field}__icontains": name}).order_by("pk")
        for pk, text in found.values_list("pk", field):
            kept = _without_lines({name}, text)
            if kept != text:
                rows.filter(pk=pk).update(**{field: kept})
                count += 1
    return count


def _remove_audited_contacts(names: Collection[str]) -> int:
    """Remove mail addresses from the lists of contacts, before and after, in audit entries; return the number of entries."""
    rows, changed = AuditEntry.objects.filter(changes__has_key="contacts"), {}
    for pk, changes in rows.values_list("pk", "changes").iterator():
        kept = {side: text and _without_lines(names, text) for side, text in changes["contacts"].items()}
        if kept != changes["contacts"]:
            changed[pk] = {**changes, "contacts": kept}
    for pk, changes in changed.items():
        rows.filter(pk=pk).update(changes=changes)
    return len(changed)


def _without_lines(names: Collection[str], text: str) -> str:
    """Return a text without the lines that are one of the names, or the beginning of one that the audit log cut."""
    words = {line: line.strip().lower() for line in text.splitlines()}
    kept = [
        line for line, word in words.items() if word not in {shorten(one.lower(), longest=len(word)) for one in names}
    ]
    return text if len(kept) == len(words) else "\n".join(kept)


def _refresh_source(source: Source, key: str, *, now: datetime) -> int:
    using, last, total = router.db_for_write(source.model), "", 0
    rows = SourceState.objects.using(using).filter(_of_person(source, key), source=source.name).order_by("key")
    while found := list(rows.filter(key__gt=last).values_list("key", flat=True)[:BATCH]):
        last = found[-1]
        with transaction.atomic(using=using):
            recorded = SourceState.objects.of(source.name, found, using=using, lock=True)
            keys = [states.key_value(source, text) for text in recorded]
            present = [
                states.object_state(source, pk, raw)
                for pk, raw in read_rows(source, at_keys(source.model, keys, using=using))
            ]
            changed = [line for line in present if line != recorded.get(line.key)]
            gone = recorded.keys() - {line.key for line in present}
            SourceState.objects.overwrite(source.name, changed, now=now, using=using)
            SourceState.objects.forget(source.name, gone, using=using)
        total += len(changed) + len(gone)
    return total


def _of_person(source: Source, key: str) -> models.Q:
    """Return a filter for the states of a source that are about a person."""
    written = json_spellings(key)
    found = models.Q(key__in=written) if source.noun.name == PERSON else models.Q(pk__in=())
    split = (field.name.rpartition(".") for field in source.noun.fields)
    references = {prefix for prefix, _dot, leaf in split if prefix and leaf in PERSON_FIELDS}
    for prefix in references:
        for one in written:
            # Also matches longer numbers that begin like this one: their rows are read again, which changes nothing.
            found |= models.Q(state__contains=f'"{prefix}.id":{one}')
    return found


def people_in(event: Any) -> set[str]:
    """Return the ids, as texts, of the people in an event."""
    objects = (one for one in _values_in(event) if isinstance(one, dict) and one.get("id") is not None)
    return {str(one["id"]) for one in objects if PERSON_FIELDS & one.keys()}


def _values_in(value: Any) -> Iterator[Any]:
    """Yield a value and all that it contains."""
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield from _values_in(one)


def json_spellings(key: str) -> set[str]:
    """Return the forms in which JSON may write an id."""
    return {json.dumps(key, ensure_ascii=False), *({key} if key.isdecimal() else ())}
