"""Builds events that have not happened, for tests, previews and explanations: samples, and events of real objects.

Nothing is written. An event of a real object is built from a change that its source reads as this event. It leads to
the object's current state, or from it. Old values are those of the object's newest stored event of the type, or of the
sample of the type. If the event means another state, the new values are those that the rule names, or the sample's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import router
from django.utils.translation import gettext as _

from tms_webhooks import catalogue, event_names
from tms_webhooks.actors import Actor, actor_context
from tms_webhooks.catalogue import EventType
from tms_webhooks.catalogue.schema import FieldKind
from tms_webhooks.catalogue.values import days_left, value_at
from tms_webhooks.choices import Audience
from tms_webhooks.exceptions import PayloadError, SubjectError
from tms_webhooks.models import Event, EventSequence, Webhook
from tms_webhooks.models.audience import EventOrganizations
from tms_webhooks.models.event import Subject, subject_key
from tms_webhooks.outbox import owners
from tms_webhooks.outbox.event_row import event_row, organizations_of, set_sequence
from tms_webhooks.payloads.envelope import FIRST_SEQUENCE, build_content, from_text
from tms_webhooks.sources.base import LEARNER, OWNER, Source
from tms_webhooks.sources.mapping import Values, organization_value
from tms_webhooks.sources.objects import rows_with
from tms_webhooks.sources.registry import sources_of_noun
from tms_webhooks.sources.rows import database_of, read_rows, rows_of
from tms_webhooks.sources.rules import Change, Reopened
from tms_webhooks.sources.states import compared

# The keys of an event that `build_content` returns.
CONTENT = ("data", "details", "changed", "previous")
WEBHOOK = "webhook"
"""The noun of webhooks: the sample of an event about a webhook is about the webhook itself."""


def subscribed_types(webhook: Webhook) -> list[str]:
    """Return the event types that a webhook subscribes to, in the order of its subscriptions."""
    patterns = webhook.subscriptions.order_by("pk").values_list("event_type", flat=True)
    return list(dict.fromkeys(kind.name for pattern in patterns for kind in catalogue.expand(pattern)))


def first_type(webhook: Webhook) -> str:
    """Return the event type of a test without a choice: the first that the webhook subscribes to, or ``webhook.test``."""
    return next(iter(subscribed_types(webhook)), event_names.TEST)


def example_event(
    webhook: Webhook,
    event_type: str = "",
    *,
    subject: str = "",
    actor: Actor,
    now: datetime,
) -> Event:
    """Return an unsaved event of a type, by default the `first_type`, which a webhook could receive.

    Without ``subject`` it is the sample of the type, of the webhook's organization. A ``subject``, such as "class:8840", is
    an object of the webhook's organizations, and ``actor`` is the cause of the event.

    Raises `UnknownEventType`, and `SubjectError` for a subject that is malformed, that the type is not about, or that
    does not exist. Raises `PayloadError` for an event that can't be built, or that breaks the schema.
    """
    kind = catalogue.get(event_type or first_type(webhook))
    if subject:
        event = _event_of(*_found(webhook, subject, kind), kind, actor=actor, now=now)
    else:
        event = _sample_event(webhook, kind, now=now)
    kind.validate(from_text(event.body))
    return event


# Samples


def _sample_event(webhook: Webhook, kind: EventType, *, now: datetime) -> Event:
    sample = kind.example()
    if kind.noun.name == WEBHOOK:
        sample["data"] |= {"id": webhook.public_id, "name": webhook.name}
    values = {
        OWNER: webhook.organization_id,
        "organization.external_id": organization_value(webhook.organization, "external_id"),
        # The organization is also the learner's, so that webhooks of each audience receive the sample.
        LEARNER: webhook.organization_id,
    }
    content = {key: value for key, value in sample.items() if key in CONTENT}
    with actor_context(**sample["actor"]):
        event = event_row(
            kind, lambda: content, values, subject_id=sample["data"].get("id", ""), occurred_at=now, strict=True
        )
    set_sequence(event, sample["sequence"])
    return event


# Events of real objects


def _found(webhook: Webhook, subject: str, kind: EventType) -> tuple[Source, Values]:
    """Return the source of the object that a subject names, and its canonical values for one of its owners.

    Raise `SubjectError` if the webhook's organizations have no such object.
    """
    noun, key = _parsed(subject, kind)
    sources = sources_of_noun(noun)
    if not sources:
        message = _(
            '"%(noun)s" has no source with a row for each object, so its objects can\'t be read. Omit the subject to use the '
            "sample."
        )
        raise SubjectError(message % {"noun": noun}, code="no_source")
    # The second one has the objects of its organizations that its audience excludes: the verdict says so. The tree is read
    # before the object, so that an object of another organization takes the same queries as one that does not exist.
    scopes = [owners.ObjectScope(webhook.scope), owners.ObjectScope(webhook.scope._replace(audience=Audience.BOTH))]
    for source in sources:
        found = rows_with(source, rows_of(source), [key]) if key.isprintable() else None
        if found is None:
            continue
        for _key, raw in source._objects_of(read_rows(source, found), using=found.db):
            for scope in scopes:
                values = scope.canonical(source, raw)
                if values is not None and ("id" in source.mapped or raw["id"] == key):
                    return source, values
    message = _("The webhook's organizations have no %(noun)s with this id. Use the id that events have in data.id.")
    raise SubjectError(message % {"noun": noun}, code=SubjectError.NOT_FOUND)


def _parsed(text: str, kind: EventType) -> Subject:
    """Return the subject of a text; raise `SubjectError` if it has another form, or another noun than the type."""
    subject = Subject.parse(text)
    if kind.noun.name == WEBHOOK:
        message = _("%(type)s has no object. Leave the object empty, or choose an event type of %(noun)s.")
        if subject.noun == WEBHOOK:
            message = _("%(type)s has no object. Leave the object empty.")
        raise SubjectError(message % {"type": kind.name, "noun": subject.noun}, code="wrong_noun")
    if subject.noun != kind.noun.name:
        message = _(
            "%(type)s needs an object of the kind %(own)s, not %(noun)s. Write %(own)s:ID, or choose another event type, "
            "such as %(other)s."
        )
        other = catalogue.grouped()[subject.noun][0].name
        values = {"type": kind.name, "own": kind.noun.name, "noun": subject.noun, "other": other}
        raise SubjectError(message % values, code="wrong_noun")
    return subject


def _event_of(source: Source, values: Values, kind: EventType, *, actor: Actor, now: datetime) -> Event:
    """Return the event of a change that leads to the object's current state, or that begins with it."""
    stored = _stored(kind, values)
    change = _likely_change(source, values, kind, stored=stored, now=now)
    like = stored or kind.example()
    content, due = build_content(change, kind), change.values.get(source.due_field)
    if kind.details:
        # The object has no such values: those of a similar event.
        content["details"] = {**like.get("details", {})}
        if kind.has_window and due is not None:
            content["details"]["days_left"] = days_left(due, now=change.now)
    if change.is_empty:
        content |= {"changed": like["changed"], "previous": like["previous"]}
    missing = [
        field.name for field in kind.sent_fields if field.required and value_at(content["data"], field.name) is None
    ]
    if missing:
        message = _(
            "%(type)s needs a value in %(fields)s, but %(subject)s has null there. Choose an object that has this value, or "
            "omit the subject to use the sample."
        )
        subject = f"{kind.noun.name}:{values['id']}"
        raise PayloadError(message % {"type": kind.name, "fields": ", ".join(missing), "subject": subject})
    with actor_context(actor.kind, actor.id):
        event = event_row(
            kind,
            lambda: content,
            values,
            subject_id=values["id"],
            occurred_at=now,
            strict=True,
            source=source,
        )
    # A host may keep the keys in columns of another type.
    event.organization_id, event.learner_organization_id, *_other = organizations_of(values) or EventOrganizations(None)
    numbers = EventSequence.objects.current(kind.noun.name, [event.sequence_key], using=database_of(source))
    set_sequence(event, max([FIRST_SEQUENCE, *numbers.values()]))
    return event


def _stored(kind: EventType, values: Values) -> Mapping[str, Any]:
    """Return the newest stored event of the type about the object with these values; {} without one, or without its body."""
    rows = Event.objects.using(router.db_for_read(Event)).filter(
        type=kind.name,
        version=kind.version,
        subject_type=kind.noun.name,
        subject_id=subject_key(values["id"]),
        organization_id=values[OWNER],
    )
    newest = rows.exclude(body="").order_by("-pk").values_list("body", flat=True).first()
    return {} if newest is None else from_text(newest)


# The change of an object


def _likely_change(source: Source, values: Values, kind: EventType, *, stored: Values, now: datetime) -> Change:
    """Return a change of the object with these canonical values that its source reads as an event of the type.

    ``stored`` is the newest event of the type about the object, or empty. Without such a change, nothing changes in the
    result: an event that only a scan emits has an object that is open, with time left.
    """
    sample = kind.example()
    later = now - datetime.fromisoformat(sample["timestamp"])
    new, details, old = (_canonical(kind, sample.get(part), later) for part in ("data", "details", "previous"))
    new |= details
    named: dict[str, Any] = {}
    for rule in source.rules:
        if kind.name in rule.event_types:
            named |= {name: new.get(name) for name in rule.fields} | dict(rule.result(kind.name))
    of_deadline = _of_deadline(source, values, kind, new, now=now)

    def state(given: Values) -> Values:
        merged = {**values, **{name: value for name, value in given.items() if name in values or name in named}}
        return {**merged, **source.function_values(merged), **{name: given[name] for name in named if name in given}}

    def changes() -> Iterator[Change]:
        demanded = state({**of_deadline, **named})
        others = [name for name in source.own if name != "id" and not name.startswith("organization.")]
        pairs = [
            (state(_canonical(kind, stored.get("previous", {}))), values),
            (state(old), values),
            ({}, values),
            (values, {}),
            (values, demanded),
            ({}, demanded),
            *((state({name: {**new, **old}.get(name)}), values) for name in (*named, *others)),
        ]
        for before, after in pairs:
            yield compared(source, before, after, now=now, using=database_of(source))

    unchanged = state(of_deadline)
    return next(
        (one for one in changes() if kind.name in source.event_types_for(one)),
        Change(unchanged, unchanged, (), now, database_of(source)),
    )


def _of_deadline(source: Source, values: Values, kind: EventType, sample: Values, *, now: datetime) -> dict[str, Any]:
    """Return the values that an object needs for an event of its deadline: it is open, and its date is past or to come."""
    deadline = source.deadline
    reopens = any(isinstance(rule, Reopened) and rule.event == kind.name for rule in source.rules)
    if deadline is None or not (reopens or kind.name in (deadline.expiring, deadline.expired)):
        return {}
    closing = (*source.closed_when.filled, *(name for name, _member in source.closed_when.statuses))
    needed = {} if source.is_open(values) else {name: sample.get(name) for name in closing}
    due, of_sample = values.get(deadline.field), sample.get(deadline.field)
    if due is not None and of_sample is not None and (due > now) is not (of_sample > now):
        needed[deadline.field] = of_sample
    return needed


def _canonical(kind: EventType, nested: Values | None, later: timedelta = timedelta(0)) -> dict[str, Any]:
    """Return values of an event by their canonical names: statuses as numbers, and times by so much later."""
    found: dict[str, Any] = {}
    for field in kind.all_fields:
        value = value_at(nested, field.name, missing=found)
        if value is found:
            continue
        if value is not None and field.kind is FieldKind.STATUS:
            value = value["code"]
        elif value is not None and field.kind is FieldKind.DATETIME:
            value = datetime.fromisoformat(value) + later
        found[field.name] = value
    return found
