"""The nouns of a snapshot, and their objects page by page, as the events that it sends to a webhook."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from time import sleep
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from tms_webhooks import catalogue, event_names
from tms_webhooks.actors import actor_context
from tms_webhooks.choices import ActorKind
from tms_webhooks.conf import strict_payloads
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.filters.paths import suggested
from tms_webhooks.models import Event, EventSequence, Subscription, Webhook
from tms_webhooks.models.audience import RELATIONS
from tms_webhooks.models.event import owned_key, subject_key
from tms_webhooks.outbox import owners
from tms_webhooks.outbox.event_row import event_row, set_sequence
from tms_webhooks.payloads.envelope import build_content
from tms_webhooks.routing.checks import PresentRules, filter_input_of
from tms_webhooks.sources import states
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.registry import sources_of_noun
from tms_webhooks.sources.row_sets import Rows, at_keys, database_of, in_organizations, rows_of
from tms_webhooks.sources.rules import Change
from tms_webhooks.sources.snapshots import read_rows

FIELD = "nouns"
"""The argument that the errors name."""


def subscriptions_to(webhook: Webhook, noun: str) -> list[Subscription]:
    """Return the webhook's subscriptions to at least one event of a noun."""
    names = {event_type.name for event_type in catalogue.grouped().get(noun, ())}
    return [
        one for one in webhook.subscriptions.order_by("pk") if names.intersection(event_names.matching(one.event_type))
    ]


def available(webhook: Webhook) -> list[str]:
    """Return the nouns that a snapshot of a webhook can have, in the order of the catalogue."""
    return [noun for noun in catalogue.grouped() if sources_of_noun(noun) and subscriptions_to(webhook, noun)]


def checked(webhook: Webhook, nouns: Iterable[str]) -> list[str]:
    """Return these nouns without duplicates; raise `ReplayError` for one that a snapshot of the webhook can't have."""
    chosen = list(dict.fromkeys(nouns))
    if not chosen:
        message = _("nouns is empty; name at least one of: %(nouns)s.")
        raise _error(message % {"nouns": ", ".join(available(webhook)) or "-"}, code="empty")
    for noun in chosen:
        _check(webhook, noun)
    return chosen


def _check(webhook: Webhook, noun: str) -> None:
    possible = available(webhook)
    if noun in possible:
        return
    values = {"noun": noun, "key": webhook.public_id, "nouns": ", ".join(possible) or "-"}
    if not sources_of_noun(noun):
        suggestion = suggested(difflib.get_close_matches(noun, possible, n=1))
        message = _('nouns: objects of "%(noun)s" can\'t be sent as a snapshot. This webhook can have: %(nouns)s.')
        raise _error(message % values + suggestion, code="unknown")
    message = _(
        'nouns: webhook %(key)s has no subscription to events of "%(noun)s"; add one, such as %(noun)s.*, or leave '
        "it out. This webhook can have: %(nouns)s."
    )
    raise _error(message % values, code="not_subscribed")


def _error(message: str, *, code: str) -> ReplayError:
    return ReplayError(message, field=FIELD, code=code)


PAGE = 100
"""Objects that are read at a time, which is all that a job holds in memory."""

MOST_EXAMINED = 10_000
"""Objects to which `SourceReader.count` applies filters. Objects beyond this number are counted as if they matched."""

logger = logging.getLogger(__name__)


class ObjectPage(NamedTuple):
    """The events of one page of objects.

    ``skipped`` is the number of objects whose payload could not be built. ``end`` is the key, as text, of the last object;
    None if no object follows.
    """

    events: list[Event]
    skipped: int
    end: str | None


class SourceReader:
    """Reads the objects of one source that a webhook receives: by its organization and audience, and by its filters."""

    def __init__(self, webhook: Webhook, source: Source) -> None:
        self._webhook = webhook
        self._source = source
        self._event_type = catalogue.get(event_names.snapshot_of(source.noun.name))
        self._rules = [PresentRules(one, self._event_type) for one in subscriptions_to(webhook, source.noun.name)]
        self._takes_all = any(rules.accept_all for rules in self._rules)
        self._objects = owners.ObjectScope(webhook.scope)
        relations = [one for one in RELATIONS if one.closed_to != webhook.audience]
        self._scope = in_organizations(source, dict.fromkeys(relations, self._objects.organizations))

    def count(self, *, now: datetime) -> int:
        """Return the number of objects that the webhook receives; see `MOST_EXAMINED`."""
        total = self._rows().count()
        if self._scope is not None and self._takes_all:
            return total
        examined = matching = 0
        after: str | None = ""
        while after is not None and examined < min(total, MOST_EXAMINED):
            page = self.read(after, now=now)
            examined, matching, after = examined + PAGE, matching + len(page.events), page.end
        return matching + max(0, total - examined)

    def read(self, after: str, *, now: datetime) -> ObjectPage:
        """Return the events of the next objects after this key, oldest key first, with their sequence numbers.

        The numbers are read first, and then the objects. So a change that is committed between the two is in the
        object, and its own event has a higher number than the snapshot. The receiver then gets the same state twice. In
        the other order, the snapshot could have the number of a change that it lacks, and a receiver would return to
        the old state.
        """
        using = database_of(self._source)
        rows = self._rows().order_by("pk")
        if after:
            rows = rows.filter(pk__gt=states.key_value(self._source, after))
        found = read_rows(self._source, rows[:PAGE], names=("id",))
        numbers = self._numbers([subject_key(raw["id"]) for _key, raw in found], using=using)
        events, skipped = [], 0
        with actor_context(ActorKind.SYSTEM):
            for key, raw in read_rows(
                self._source, at_keys(self._source.model, [key for key, _raw in found], using=using)
            ):
                event, is_skipped = self._event_or_log(key, raw, now=now)
                # The drain may be a thread of this process, and would wait 5 ms for Python's lock at each statement.
                sleep(0)
                skipped += is_skipped
                if event is not None:
                    set_sequence(event, numbers.get(event.sequence_key, 0))
                    events.append(event)
        end = states.key_text(found[-1][0]) if len(found) == PAGE else None
        return ObjectPage(events, skipped, end)

    def _numbers(self, subjects: Collection[str], *, using: str) -> dict[str, int]:
        """Return the numbers of the last events of these objects, by the keys by which they are numbered."""
        keys = subjects
        if self._source.owners is not None:
            keys = [owned_key(subject, one) for subject in subjects for one in self._objects.organizations]
        return EventSequence.objects.current(self._source.noun.name, set(keys), using=using)

    def _rows(self) -> Rows:
        rows = rows_of(self._source)
        return rows if self._scope is None else rows.filter(self._scope)

    def _event_or_log(self, key: Any, raw: Mapping[str, Any], *, now: datetime) -> tuple[Event | None, bool]:
        """Return the event of an object, or None if the webhook does not receive it, and whether it can't be built."""
        try:
            event = self._event(raw, now=now)
        except Exception:
            if strict_payloads():
                raise
            logger.exception("A snapshot leaves out %s %s.", self._source.model._meta.label, key)
            return None, True
        if event is not None and event.error:
            return None, True
        return event, False

    def _event(self, raw: Mapping[str, Any], *, now: datetime) -> Event | None:
        values = self._objects.canonical(self._source, raw)
        if values is None:
            return None
        change = Change(before={}, after=values, changed=(), now=now, using=database_of(self._source))
        event = event_row(
            self._event_type,
            build_content(change, self._event_type),
            values,
            subject=(self._source.noun.name, subject_key(values["id"])),
            occurred_at=now,
            strict=strict_payloads(),
            numbered_by_owner=self._source.owners is not None,
        )
        if event.error or self._takes_all:
            return event
        given = filter_input_of(event, self._webhook.audience)
        return event if any(rules.are_met(given) for rules in self._rules) else None
