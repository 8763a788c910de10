"""Check that the example of an event about a real object is one that its source would emit."""

import json
from datetime import datetime, timedelta
from itertools import product

from tms_webhooks import catalogue
from tms_webhooks.actors import SYSTEM
from tms_webhooks.catalogue.schema import FieldKind
from tms_webhooks.catalogue.values import value_at
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.outbox.example_events import example_event
from tms_webhooks.sources.rules import Change, Entered
from tms_webhooks.sources.states import compared

DAYS = (timedelta(days=-2), timedelta(days=20))


def states_named(source, *, now):
    """Yield values of the columns that the rules, the deadline and ``closed_when`` of a source read, in each combination."""
    closed = (*source.closed_when.filled, *(name for name, _member in source.closed_when.statuses))
    named = dict.fromkeys([*(name for rule in source.rules for name in rule.fields), *closed, source.due_field])
    columns = {}
    for name in [one for one in named if one in source.own]:
        mapped = source.own[name]
        column = source.model._meta.get_field(str(mapped.lookup))
        if mapped.field.choices is not None:
            mapping = source.status_mappings.get(name)
            columns[column.name] = list(mapping or source.host_choices(name) or map(int, mapped.field.choices))
        elif mapped.field.kind is FieldKind.BOOLEAN:
            columns[column.name] = [False, True]
        elif mapped.field.kind is FieldKind.DATETIME:
            days = DAYS if name == source.due_field else DAYS[:1]
            columns[column.name] = [*([None] if column.null else []), *(now + step for step in days)]
    for values in product(*columns.values()):
        yield dict(zip(columns, values, strict=True))


def check_example(webhook, source, subject, name, *, now):
    """Fail unless the example of an event about an object is one that can occur."""
    kind = catalogue.get(name)
    try:
        event = example_event(webhook, name, subject=f"{kind.noun.name}:{subject.pk}", actor=SYSTEM, now=now)
    except PayloadError as error:
        # The object lacks a date or a reference, which nothing can make up.
        assert " needs a value in " in str(error)  # noqa: PT017
        return
    body = json.loads(event.body)
    data, previous, changed = body["data"], body["previous"], body["changed"]
    after = canonical(kind, data)
    before = after | canonical(kind, previous)
    for field in kind.all_fields:
        is_named = value_at(previous, field.name, missing=kind) is not kind
        assert is_named == (field.name in changed), (field.name, body)
        assert not is_named or value_at(previous, field.name) != value_at(
            {**data, **body.get("details", {})}, field.name
        ), (field.name, body)
    for rule in source.rules:
        if name in rule.event_types and isinstance(rule, Entered):
            meant = [value for value, event_type in rule.events.items() if event_type == name]
            assert after[rule.field] in meant, body
            assert rule.field in changed or not changed, body
    # Where an event has what a function reads, it has its result.
    made = source.function_values(after)
    assert {one: after[one] for one in made if one in after} == {one: made[one] for one in made if one in after}
    if changed:
        changes = [compared(source, before, after, now=now)]
    else:
        changes = [Change({}, after, (), now), Change(after, {}, (), now)]
    assert any(name in source.event_types_for(change) for change in changes), body


def canonical(kind, nested):
    """Return the values of ``data`` or ``previous`` as a source has them, by their names."""
    found = {}
    for field in kind.fields:
        value = value_at(nested, field.name, missing=kind)
        if value is None or value is kind:
            found |= {} if value is kind else {field.name: None}
        elif field.kind is FieldKind.STATUS:
            found[field.name] = value["code"]
        else:
            found[field.name] = datetime.fromisoformat(value) if field.kind is FieldKind.DATETIME else value
    return found
