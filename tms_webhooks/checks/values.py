"""Values and events of a source: values that payloads or events need, and rules whose events exist and can be detected."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage

from tms_webhooks import catalogue, event_names, sharing
from tms_webhooks.catalogue.types import references
from tms_webhooks.checks.messages import message, message_of
from tms_webhooks.checks.paths import Entry, broken_input, mistake_of, reference_of
from tms_webhooks.checks.settings import is_usable, organization_model, usable
from tms_webhooks.computed import Expression, Not
from tms_webhooks.conf import SETTING_NAME
from tms_webhooks.exceptions import DeclarationError
from tms_webhooks.scaffold.names import column_for
from tms_webhooks.scaffold.render import dictionary
from tms_webhooks.sources.base import OWNER, Source
from tms_webhooks.sources.mapping import organization_path, without_null
from tms_webhooks.sources.paths import follow, may_be_null
from tms_webhooks.sources.registry import all_sources, sources_of

RECOGNIZED_BY = frozenset({"name", "first_name", "last_name", "email", "start_at", "end_at"})
"""The last parts of the names of fields by which a person or object is recognized."""
UNKNOWN = "…"
"""A path to replace, in a hint. Another check refuses it."""


def check(source: Source, refused: Collection[str]) -> Iterator[DeclarationError]:
    """Yield the values that one source lacks, but for fields that are ``refused`` already."""
    have, label, events = source.available, source.model._meta.label, _declared_events(source)
    needed = {field.name: f"the noun {source.noun.name!r}" for field in source.all_fields if field.required}
    for event_type, waits in events:
        # Events that can't happen or are unknown need no fields.
        if event_names.is_known(event_type) and have.issuperset(waits):
            needed = {**dict.fromkeys(catalogue.get(event_type).needs, event_type), **needed}
    nulls = {}
    yield from _nullable(source)
    for name in (field.name for field in source.all_fields if field.name not in (*have, OWNER)):
        names = dict.fromkeys(event_type for event_type, waits in events if name in waits)
        if {name, reference_of(name)}.intersection(refused):
            continue
        if name in needed:
            yield DeclarationError(
                "E034",
                f"{name!r} is needed by {needed[name]}, but {label} has no such attribute, or it is left out.",
                f'Name the attribute: fields = {{"{reference_of(name)}": "…"}}. Or make the value by a function: '
                f"Computed(function, reads={{…}}). manage.py webhooks_scaffold {label} guesses paths.",
            )
        elif names and source.paths.get(name, "") is not None:
            yield DeclarationError(
                "W047",
                f"Never emitted, because {label} has no {name!r}: {', '.join(names)}.",
                f'Map it: fields = {{"{name}": "…"}}; or leave it out on purpose: fields = {{"{name}": None}}.',
            )
        # Where a row is no object of the noun, the source of that object reports its fields.
        if source.snapshot and _is_expected(source, name):
            nulls[name] = UNKNOWN
    if nulls:
        yield DeclarationError(
            "W092",
            f"Null in every payload, because {label} has no such attribute: {', '.join(map(repr, nulls))}.",
            f"Map them: fields = {dictionary(nulls)}. None leaves a field out on purpose. manage.py webhooks_scaffold {label} "
            "guesses paths.",
        )


def _declared_events(source: Source) -> list[tuple[str, tuple[str, ...]]]:
    """Return the events that a source declares, each with the canonical fields that it requires."""
    pairs = [(name, rule.needs(name)) for rule in source.rules for name in rule.event_types]
    if source.deadline is not None:
        pairs += [
            (name, (source.deadline.field,)) for name in (source.deadline.expiring, source.deadline.expired) if name
        ]
    return pairs


def _nullable(source: Source) -> Iterator[DeclarationError]:
    """Refuse fields that payloads require and that may be null: such an event could not be sent."""
    for name, mapped in source.mapped.items():
        is_sent = mapped.field.required and name != OWNER and isinstance(mapped.lookup, str)
        if is_sent and not source.selection.excludes_null(mapped.path) and may_be_null(source.model, mapped.path):
            column = reference_of(mapped.path)
            condition = without_null(source.only[column]) if column in source.only else Not(None)
            yield DeclarationError(
                "E088",
                f"{name!r} is required in payloads, but {source.model._meta.label}.{mapped.path} may be null.",
                f"Leave these rows out: only = {dictionary({**source.only, column: condition})}. Or make the column NOT "
                f"NULL, or map {name!r} to First of several paths.",
            )


def _is_expected(source: Source, name: str) -> bool:
    """Return whether payloads should have a field: of the object, or of a reference that the source of no model reports."""
    reference, _, leaf = name.rpartition(".")
    if leaf not in RECOGNIZED_BY or reference.endswith("organization") or not source.path_of(name):
        return False
    target = follow(source.model, str(source.paths.get(reference, reference)))
    return not reference or (f"{reference}.id" in source.available and not (target and sources_of(target)))


def check_organizations(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Check the paths of an organization's values, which all sources use, in one message for all of them."""
    model = organization_model()
    if model is None or not is_usable("ORGANIZATION_FIELDS"):
        return
    written, nulls = usable("ORGANIZATION_FIELDS"), {}
    fields = {field.name.partition(".")[2]: field for field in references.organization("")}
    for name in dict.fromkeys([*written, *fields]):
        path = organization_path(name)
        entry = Entry("E090", f"{SETTING_NAME}['ORGANIZATION_FIELDS'][{name!r}]", model)
        steps = (
            entry._replace(path=step)
            for step in (path.paths if isinstance(path, Expression) else [path] if path else [])
        )
        broken = next(((step, found) for step in steps if (found := broken_input(model, step.path))), None)
        if broken and name in written:
            yield message_of(mistake_of(*broken, str(broken[1])))
        elif broken and any(fields[name].name not in source.paths for source in all_sources()):
            nulls[name] = column_for(model, fields[name]) or UNKNOWN
    if nulls:
        yield message(
            "W091",
            f"Null in payloads, because {model._meta.label} has no such attribute: an organization's "
            f"{' and '.join(map(repr, nulls))}.",
            hint=f'Write {SETTING_NAME}["ORGANIZATION_FIELDS"] = {dictionary({**written, **nulls})}. None leaves a value '
            "out on purpose.",
        )


def check_references(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Warn of nouns whose objects payloads show, but for which no model is registered."""
    # Another check reports a wrong form.
    with suppress(DeclarationError):
        if lacking := sharing.nouns_without_source():
            yield message(
                "W105",
                f"Payloads show objects whose changes emit no events. No model is registered for {lacking}.",
                hint="Register their models, each with the source class of its noun. Or silence this check, if receivers "
                "need no such events.",
            )


def check_events(source: Source, refused: Collection[str]) -> Iterator[DeclarationError]:
    """Yield the events of one source that are wrong or can't happen, but for fields that are ``refused`` already."""
    noun, deadline = source.noun.name, source.deadline
    for name in dict.fromkeys(name for name, _waits in _declared_events(source)):
        if not event_names.is_known(name) or catalogue.get(name).noun.name != noun:
            yield DeclarationError(
                "E043",
                f"A rule names the event {name!r}, which is no event of the noun {noun!r} in the catalogue.",
                "Correct the name, or register an event type with this name for the noun."
                + event_names.did_you_mean(event_names.nearest(name)),
            )
    fields = [field.name for field in source.all_fields]
    watched = [*(name for rule in source.rules for name in rule.fields), *([deadline.field] if deadline else [])]
    for name in dict.fromkeys(name for name in watched if name not in (*source.made, *refused)):
        if name not in fields:
            yield DeclarationError(
                "E045",
                f"A rule watches {name!r}, which is not a field of the noun {noun!r}.",
                f"Correct the name, or declare a field of your own in `custom`.{event_names.suggest(name, fields)}",
            )
        elif name in source.mapped and name not in source.own and name not in source.keys_behind:
            yield DeclarationError(
                "E037",
                f"A rule watches {name!r}, which is read by the path {source.mapped[name].path!r}: a change of it does not "
                f"change a row of {source.model._meta.label}, and can't be detected.",
                "Map it to a column of the model itself, register the model that has the column, or make the value by "
                "a function: Computed(function, reads={…}).",
            )
    if source.owners is not None and (source.owned_by_learner or deadline is not None):
        yield DeclarationError(
            "E086",
            f"owner is {source.owner!r}, which leads to several organizations, but objects of the noun {noun!r} belong to one: the "
            "learner's, or the one in whose time zone their deadline is a date.",
            "Write owner = … with the path to one organization. Or write deadline = None, if that is the reason.",
        )
    if source.due_field in source.own and deadline is not None:
        yield from _of_deadline(source, str(source.own[source.due_field].lookup))


def _of_deadline(source: Source, column: str) -> Iterator[DeclarationError]:
    """Warn of a deadline whose column slows down the scans, or whose day ends in no known time zone."""
    field: Any = source.model._meta.get_field(column)
    meta = field.model._meta
    # The columns with which an index begins. An index on a function of the column can't serve a range of it.
    ordered = (index.expressions[0] for index in meta.indexes if index.expressions)
    firsts = [getattr(getattr(expression, "expression", None), "name", "") for expression in ordered]
    firsts += [index.fields[0].lstrip("-") for index in (*meta.indexes, *meta.total_unique_constraints) if index.fields]
    if not (field.db_index or field.unique or field.name in firsts):
        yield DeclarationError(
            "W049",
            f"{meta.label}.{field.name} has no index: each expiry scan reads the whole table.",
            f'Add models.Index(fields=["{field.name}"], name="…") to Meta.indexes, and a migration.',
        )
    if source.time_zone_path is None and source.is_due_by_day:
        yield DeclarationError(
            "W039",
            f"{source.model._meta.label}.{column} is a date without a time: it is over at the end of the day in TIME_ZONE "
            f"({settings.TIME_ZONE}), wherever the organization is.",
            "Name the attribute of an organization with its time zone: TMS_WEBHOOKS['ORGANIZATION_FIELDS'] = "
            "{'time_zone': '…'}. Or silence this check if all organizations use TIME_ZONE.",
        )
