"""Forgetting a person: what was told of them is blanked, and that something was told is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models, router, transaction
from django.db.models import Q, Value
from django.db.models.functions import Coalesce

from tms_webhooks.choices import ActorKind, DeliveryStatus
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import AuditEntry, Delivery, DeliveryAttempt, DeliveryBody, Event, Job, SourceState, Webhook
from tms_webhooks.models.event import subject_key
from tms_webhooks.payloads.envelope import from_text
from tms_webhooks.payloads.people import PERSON, PERSON_FIELDS, json_spellings, people_in
from tms_webhooks.sources import states
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.registry import all_sources, sources_of
from tms_webhooks.sources.row_sets import at_keys
from tms_webhooks.sources.snapshots import key_of, read_rows, read_whole

BATCH = 200

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Erased:
    """What was blanked. ``in_flight`` events are being sent right now: erase again once they are through."""

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
    """Blank the payloads, rendered bodies, answers and errors of all events that speak of a person.

    ``person`` is the host's object, or the id that payloads give it; ``names`` are its user name and e-mail address where
    there is no object to ask. What still waits for such an event is cancelled: nothing is left to send. Types, times,
    numbers and ids are kept. Free text that others wrote is not searched for names.
    """
    key, names = _key(person), {*names, *_names(person)} - {""}
    events = cancelled = in_flight = 0
    for batch in _batches(key, stop=stop):
        if dry_run:
            events += len(batch)
            continue
        with transaction.atomic(using=router.db_for_write(Event)):
            busy, called_off = _call_off(batch, now=now)
            _blank([pk for pk in batch if pk not in busy], now=now)
        events, cancelled, in_flight = events + len(batch) - len(busy), cancelled + called_off, in_flight + len(busy)
    mentions = 0 if dry_run else _forget_mentions(key, names) + forget_states(key, now=now)
    if not dry_run:
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


def _names(person: Any) -> set[str]:
    found = {str(getattr(person, "email", None) or "")} if isinstance(person, models.Model) else set()
    return found | ({str(person.get_username())} if hasattr(person, "get_username") else set())


def _batches(key: str, *, stop: Callable[[], bool]) -> Iterator[list[int]]:
    """Yield the keys of events that speak of a person and are not blank, in their order."""
    # Payloads have no blanks between name and value. That narrows it down; the payload itself decides.
    likely = Q(subject_type=PERSON, subject_id__in={key, subject_key(key), key.replace("-", "")})
    for spelling in json_spellings(key):
        likely |= Q(body__contains=f'"id":{spelling}')
    rows = Event.objects.filter(likely).exclude(body="", error="", external_id="").order_by("pk")
    last = 0
    while not stop():
        found = list(rows.filter(pk__gt=last).values_list("pk", "subject_type", "body")[:BATCH])
        if not found:
            return
        last = found[-1][0]
        about = [pk for pk, subject_type, body in found if _speaks_of(key, subject_type, body)]
        if about:
            yield about


def _speaks_of(key: str, subject_type: str, body: str) -> bool:
    if not body:
        return subject_type == PERSON
    try:
        return key in people_in(from_text(body))
    except ValueError:
        return True


def _call_off(events: Sequence[int], *, now: datetime) -> tuple[set[int], int]:
    """Cancel what waits; return the events that a worker is sending, and how many deliveries were cancelled."""
    # Locked, so that nobody makes deliveries of them meanwhile.
    list(Event.objects.select_for_update().filter(pk__in=events).order_by("pk").values_list("pk", flat=True))
    deliveries = Delivery.objects.filter(event__in=events)
    Webhook.objects.lock(deliveries.order_by().values_list("webhook_id", flat=True).distinct())
    deliveries.release_expired(now=now)
    cancelled = deliveries.cancel(now=now)
    return set(deliveries.filter(status=DeliveryStatus.IN_FLIGHT).values_list("event_id", flat=True)), cancelled


def _blank(events: Sequence[int], *, now: datetime) -> None:
    rows = Event.objects.filter(pk__in=events)
    # What was not fanned out yet has nothing to be fanned out.
    rows.update(body="", error="", external_id="", fanned_out_at=Coalesce("fanned_out_at", Value(now)))
    DeliveryBody.objects.of_events(events).delete()
    deliveries = list(Delivery.objects.filter(event__in=events).values_list("pk", flat=True))
    DeliveryAttempt.objects.filter(delivery__in=deliveries).update(response_body="", message="")


def _forget_mentions(key: str, names: Collection[str]) -> int:
    """Take the person's name out of what they did themselves, and their address from whom to notify."""
    people = (ActorKind.USER, ActorKind.ADMINISTRATOR)
    named = AuditEntry.objects.filter(actor_id=key, actor_kind__in=people).exclude(actor_label="")
    count = named.update(actor_label="")
    count += Job.objects.filter(requested_by__in=names).update(requested_by="")
    return count + sum(map(_forget_contact, names))


def _forget_contact(name: str) -> int:
    count = 0
    with transaction.atomic(using=router.db_for_write(Webhook)):
        # Locked: a list that somebody is changing just now must not be put back.
        for webhook in Webhook.objects.select_for_update().filter(contacts__icontains=name).order_by("pk"):
            lines = [line for line in webhook.contacts.splitlines() if line.strip().lower() != name.lower()]
            if len(lines) != len(webhook.contacts.splitlines()):
                Webhook.objects.filter(pk=webhook.pk).update(contacts="\n".join(lines))
                count += 1
    return count


STATES_BATCH = 200


def forget_states(key: str, *, now: datetime) -> int:
    """Remember rows that speak of a person as the host has them now, or not at all if they are gone; return how many.

    So what the host blanked or deleted by raw SQL is not told with the old values by the next comparison. What the host
    itself still has of the person is remembered still: erase it there first.
    """
    return sum(_forget_source(source, key, now=now) for source in all_sources() if source.reconcile)


def _forget_source(source: Source, key: str, *, now: datetime) -> int:
    using, last, total = router.db_for_write(source.model), "", 0
    rows = SourceState.objects.using(using).filter(_of_person(source, key), source=source.name).order_by("key")
    while found := list(rows.filter(key__gt=last).values_list("key", flat=True)[:STATES_BATCH]):
        last = found[-1]
        with transaction.atomic(using=using):
            told = SourceState.objects.of(source.name, found, using=using, lock=True)
            keys = [states.key_value(source, text) for text in told]
            present = [
                states.object_state(source, pk, raw)
                for pk, raw in read_rows(source, at_keys(source.model, keys, using=using))
            ]
            changed = [line for line in present if line != told.get(line.key)]
            gone = told.keys() - {line.key for line in present}
            SourceState.objects.overwrite(source.name, changed, now=now, using=using)
            SourceState.objects.forget(source.name, gone, using=using)
        total += len(changed) + len(gone)
    return total


def _of_person(source: Source, key: str) -> models.Q:
    """Return what finds the states of a source that speak of a person."""
    written = json_spellings(key)
    found = models.Q(key__in=written) if source.noun.name == PERSON else models.Q(pk__in=())
    for prefix in _people(source):
        for one in written:
            # Numbers end at the comma or the brace; the row itself is read in any case.
            found |= models.Q(state__contains=f'"{prefix}.id":{one}')
    return found


def _people(source: Source) -> set[str]:
    """Return the names under which a source's noun speaks of people."""
    split = (field.name.rpartition(".") for field in source.noun.fields)
    return {prefix for prefix, _dot, leaf in split if prefix and leaf in PERSON_FIELDS}
