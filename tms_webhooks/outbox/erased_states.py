"""Forgetting a person in what reconciled sources remember of the host's rows."""

from __future__ import annotations

from datetime import datetime

from django.db import models, router, transaction

from tms_webhooks.models import ToldState
from tms_webhooks.payloads.people import MARKS, PERSON, spellings
from tms_webhooks.sources import states
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.row_sets import at_keys
from tms_webhooks.sources.snapshots import read_rows

BATCH = 200


def forget_states(key: str, *, now: datetime) -> int:
    """Remember rows that speak of a person as the host has them now, or not at all if they are gone; return how many.

    So what the host blanked or deleted by raw SQL is not told with the old values by the next comparison. What the host
    itself still has of the person is remembered still: erase it there first.
    """
    return sum(_forget(source, key, now=now) for source in all_sources() if source.reconcile)


def _forget(source: Source, key: str, *, now: datetime) -> int:
    using, last, total = router.db_for_write(source.model), "", 0
    rows = ToldState.objects.using(using).filter(_of_person(source, key), source=source.name).order_by("key")
    while found := list(rows.filter(key__gt=last).values_list("key", flat=True)[:BATCH]):
        last = found[-1]
        with transaction.atomic(using=using):
            told = ToldState.objects.of(source.name, found, using=using, lock=True)
            keys = [states.key_value(source, text) for text in told]
            present = [
                states.line_of(source, pk, raw)
                for pk, raw in read_rows(source, at_keys(source.model, keys, using=using))
            ]
            changed = [line for line in present if line != told.get(line.key)]
            gone = told.keys() - {line.key for line in present}
            ToldState.objects.put(source.name, changed, now=now, using=using)
            ToldState.objects.forget(source.name, gone, using=using)
        total += len(changed) + len(gone)
    return total


def _of_person(source: Source, key: str) -> models.Q:
    """Return what finds the states of a source that speak of a person."""
    written = spellings(key)
    found = models.Q(key__in=written) if source.noun.name == PERSON else models.Q(pk__in=())
    for prefix in _people(source):
        for one in written:
            # Numbers end at the comma or the brace; the row itself is read in any case.
            found |= models.Q(state__contains=f'"{prefix}.id":{one}')
    return found


def _people(source: Source) -> set[str]:
    """Return the names under which a source's noun speaks of people."""
    split = (field.name.rpartition(".") for field in source.noun.fields)
    return {prefix for prefix, _dot, leaf in split if prefix and leaf in MARKS}
