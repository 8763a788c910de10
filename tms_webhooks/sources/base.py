"""`Source`, the base class with which a host declares a model as a source of events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from functools import cached_property, lru_cache, partial
from typing import Any, ClassVar

from django.db import Error, models
from django.db.models import Q

from tms_webhooks import event_names
from tms_webhooks.catalogue.custom import CustomField
from tms_webhooks.catalogue.schema import Field, FieldKind, Noun
from tms_webhooks.catalogue.types.references import NOUN_OF_REFERENCE
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.computed import Computed, Expression, Function, Path, as_path, follow_all, joined
from tms_webhooks.conf import app_settings, strict_payloads
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Webhook
from tms_webhooks.models.event import subject_key
from tms_webhooks.sources.deadlines import ClosedWhen, Deadline, DueDate, as_moment, end_of_day, is_day, time_zone
from tms_webhooks.sources.mapping import (
    OWNERS,
    Custom,
    DeclaredFields,
    MappedField,
    Only,
    Row,
    Values,
    declared_fields,
    input_name,
    key_behind,
    key_name,
    map_field,
    map_input,
    map_list,
    merged_fields,
    organization_path,
    read_status,
)
from tms_webhooks.sources.paths import Model, RelatedList, broken_path, column_at, follow, list_at, list_relation
from tms_webhooks.sources.rules import Change, Entered, PlannedEvent, Reopened, Rule, event_types_of

# The fields by which an event finds the organizations that receive it.
ORGANIZATION_FIELDS: tuple[Field, ...] = (
    Field("organization.id", FieldKind.ID, FieldPrivacy.ID, required=True, doc="Id of the organization."),
    Field("organization.external_id", FieldKind.ID, FieldPrivacy.ID, doc="External id of the organization."),
)
LEARNER_ORGANIZATION = Field(
    "learner_organization.id", FieldKind.ID, FieldPrivacy.ID, doc="Id of the learner's organization."
)
# In no payload: it makes a moment of a date without a time, and a calendar date of a moment.
TIME_ZONE = Field(
    "organization.time_zone", FieldKind.STRING, FieldPrivacy.BASIC, doc="The organization's time zone, by name."
)
OWNER, LEARNER = "organization.id", LEARNER_ORGANIZATION.name
"""The names of the values that say whose an object is."""
CLOSED, EXPIRED, RUNNING = "closed", "expired", "running"
"""The states of an object with a deadline."""
OF_ANOTHER_OWNER = "learner_organization.of_another_owner"
"""The name of a value that is true where the learner's organization gets the event of another owner of the object."""

logger = logging.getLogger(__name__)


class Source:
    """Declare one model of the host as a source of events.

    A host extends the subclass for the noun, such as `EnrollmentSource`, and names only what differs:

    - ``owner``: attribute path to the organization that owns the object, a `First` of several, or a method that takes the
      object. A path through a list (``course.organizations``), or a list of paths and functions, means several owners:
      each gets events of its own. None, where no organization owns the objects, but others show them
    - ``learner``: the same for the learner's organization, if that may be another one
    - ``owned_by_learner``: whether the owner is always the learner's organization
    - ``only``: which rows are objects of the noun: attribute path to a value, or to several values in a list. A row that
      begins to match is created, and one that no longer matches is deleted
    - ``fields``: canonical name to attribute path, `Computed`, `First`, `Row`, `Not` or `Constant`. ``"user": "learner"``
      maps every ``user.…`` field; None leaves the field out
    - ``custom``: fields of the host's own, sent as ``data.custom.<name>``: name to attribute path, or to a `Custom`
    - ``statuses``: canonical status field to a dictionary from the host's values to statuses, by number or name
    - ``rules``: which change means which event type
    - ``deadline``: a date that causes events by coming near and by passing
    - ``time_zone``: attribute path to the time zone of the organization in which the deadline is a calendar date. Its
      value is an IANA or Windows name, or a ``tzinfo``. None means ``TIME_ZONE``
    - ``closed_when``: when the deadline no longer matters
    - ``snapshot``: whether the rows of the model are objects of the noun, so that a snapshot can send them
    - ``reconcile``: whether to keep the last recorded state of each object, to detect out-of-band changes
    - ``shared_fields``: what organizations whose objects refer to the object see of it. They get its events that change one
      of these fields, with these fields alone

    For events that no rule can express, override `events_for`. Fields whose values it adds are ``Computed()``.
    """

    noun: ClassVar[Noun]
    rules: ClassVar[tuple[Rule, ...]] = ()
    owner: ClassVar[Any] = "organization"
    learner: ClassVar[Any] = None
    owned_by_learner: ClassVar[bool] = False
    only: ClassVar[Mapping[str, Any]] = {}
    fields: ClassVar[Mapping[str, Path | None]] = {}
    custom: ClassVar[Mapping[str, str | Custom | None]] = {}
    statuses: ClassVar[Mapping[str, Mapping[Any, Any]]] = {}
    deadline: ClassVar[Deadline | None] = None
    time_zone: ClassVar[str | None] = None
    closed_when: ClassVar[ClosedWhen] = ClosedWhen()
    snapshot: ClassVar[bool] = True
    reconcile: ClassVar[bool] = False
    shared_fields: ClassVar[tuple[str, ...]] = ()
    # The field by which `events_for` locks rows. The changes of a bulk operation are processed in the order of its values,
    # so that two transactions lock rows in the same order.
    _lock_order: ClassVar[str] = ""
    # The values of a row from which `_objects_of` knows the ids of its objects.
    _identifying: ClassVar[tuple[str, ...]] = ("id",)

    def __init__(self, model: Model, related: Mapping[Model, list[Source]]) -> None:
        """Bind the declaration to ``model``. ``related`` is the registry, to look up the sources of related models."""
        self.model = model
        self._related = related

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.model._meta.label}>"

    # Override these in a subclass.

    def events_for(self, change: Change) -> Iterable[PlannedEvent]:
        """Return the events of ``change``. By default, those of the rules and of the deadline."""
        for event_type in self.event_types_for(change):
            if event_type != self.expired_type:
                yield PlannedEvent(event_type)
                continue
            at = change.after.get(self.due_field)
            at = at if isinstance(at, datetime) else None
            # The key keeps a scan from recording the same date once more.
            once = self.expired_key(change.after) if at is not None else ""
            yield PlannedEvent(event_type, once=once, repeated=True, deadline=at)

    def is_open(self, values: Values) -> bool:
        """Return whether the deadline of an object with these canonical values still matters."""
        return self.closed_when.is_open(values)

    def is_reopened(self, change: Change) -> bool:
        """Return whether an object that was closed or past its deadline is open again, with time left."""
        before = {**change.after, **change.before}
        return self._state(change.after, change.now) == RUNNING != self._state(before, change.now)

    # The app uses these.

    def _objects_of(self, rows: Sequence[Row], *, using: str) -> Iterable[Row]:
        """Return the objects in these rows, each with the key of its row, and with an "id": by default, each row is one."""
        return rows

    def _found_by(self, ids: Collection[str]) -> tuple[str, Collection[str]]:
        """Return the name of a value, and the values of it in the rows of the objects with these ids."""
        return "id", ids

    def _open_rows(self) -> Q:
        """Return a filter for the objects whose deadline still matters, if columns of their rows show it."""
        rows = Q()
        for name in self.closed_when.filled:
            if name in self.own:
                rows &= Q(**{f"{self.own[name].lookup}__isnull": True})
        for name, member in self.closed_when.statuses:
            if name in self.own:
                values = self.status_mappings.get(name) or self.host_choices(name) or [member.value]
                closed = [value for value in values if self._status(name, value) == member]
                rows &= ~Q(**{f"{self.own[name].lookup}__in": closed})
        return rows

    def event_types_for(self, change: Change) -> Iterable[str]:
        """Return the event types that ``change`` means by the rules and by the deadline, once each.

        A new object whose required status can't be read has the first event of that status, which has no payload.
        """
        if specific := self._specific_events(change):
            return dict.fromkeys(specific)
        required = {field.name for field in self.all_fields if field.required} if change.created else ()
        unread = {name for name in required if isinstance(change.after.get(name), PayloadError)}
        first = [rule.event_types[0] for rule in self.rules if isinstance(rule, Entered) and rule.field in unread]
        fallbacks = (rule.read(change) for rule in self.rules if rule.is_fallback)
        return [*first, *(one for one in fallbacks if one is not None)][:1]

    @cached_property
    def name(self) -> str:
        """The name of the source in stored rows: the model's label and the class name."""
        return f"{self.model._meta.label}:{type(self).__name__}"

    @cached_property
    def captured_models(self) -> list[Model]:
        """The models by which its rows are changed: its own, that which it is a proxy of, and those that they extend by their key."""
        found: list[Any] = [self.model, self.model._meta.concrete_model]
        while getattr(link := found[-1]._meta.pk.remote_field, "parent_link", False):
            found.append(link.model)
        return list(dict.fromkeys(found))

    @property
    def has_moves(self) -> bool:
        """Whether its objects have events of moves to another organization."""
        return self.snapshot and self.noun.moves

    @cached_property
    def event_types(self) -> tuple[str, ...]:
        """Every event type that this source can emit."""
        moves = event_names.moves_of(self.noun.name) if self.has_moves else ()
        return tuple(dict.fromkeys(filter(None, [*event_types_of(self.rules), self.expired_type, *moves])))

    @cached_property
    def expired_type(self) -> str:
        """The event type of a deadline that has passed; empty without one."""
        return "" if self.deadline is None else self.deadline.expired or ""

    @cached_property
    def deletion_types(self) -> tuple[str, ...]:
        """The event types that the deletion of an object can mean."""
        return tuple(event_types_of(rule for rule in self.rules if rule.reads_deletions))

    @cached_property
    def paths(self) -> dict[str, Path | None]:
        """Paths by canonical name or reference, merged from the class and its bases; None for a field that is left out."""
        paths = {**merged_fields(type(self)), **self.declared.paths, "organization": self.owner_path}
        if self.learner:
            paths["learner_organization"] = as_path(self.learner)
        if self.time_zone_path:
            paths[TIME_ZONE.name] = self.time_zone_path
        return paths

    @cached_property
    def owner_path(self) -> Path | None:
        """The path to the single owner of the object; None where there may be several."""
        return None if self._owner_paths else as_path(self.owner)

    @cached_property
    def _owner_paths(self) -> tuple[Path, ...]:
        """The paths to the owners of the object, where there may be several; empty for a single owner."""
        if isinstance(self.owner, list | tuple):
            return tuple(map(as_path, self.owner))
        is_list = isinstance(self.owner, str) and list_at(self.model, self.owner) is not None
        return (self.owner,) if is_list else ()

    @cached_property
    def time_zone_path(self) -> Path | None:
        """The path to the name of the organization's time zone, or None."""
        name = app_settings.ORGANIZATION_FIELDS.get("time_zone")
        if self.time_zone is not None or not name or self.deadline is None or not self.owner_path:
            return self.time_zone
        return joined(self.owner_path, as_path(name))

    @cached_property
    def due_field(self) -> str:
        """The canonical name of the deadline's date; empty for a source without a deadline."""
        return self.deadline.field if self.deadline is not None else ""

    @cached_property
    def declared(self) -> DeclaredFields:
        """The entries of ``custom``, checked."""
        return declared_fields(type(self), self.model)

    @property
    def custom_fields(self) -> tuple[CustomField, ...]:
        """The fields of the host's own that this source adds to the events of its noun."""
        return self.declared.fields

    @cached_property
    def keys_behind(self) -> dict[str, str]:
        """Values behind a foreign key of the row whose change counts: their names, and the names of the values with the key."""
        return {name: key_name(name) for name in self.mapped if key_name(name) in self.mapped}

    @cached_property
    def inputs(self) -> dict[str, MappedField]:
        """The values that are read only to compute others, or to find the owners. They are complete before a change."""
        derived = (*self.computed.values(), *self._made.values())
        reads = (read for one, names in derived for read in zip(one.paths, names, strict=True))
        found = [map_input(self.model, path) for path, name in reads if name != path]
        found += [map_input(self.model, path, one_to_one=True) for path in self.only]
        if self.owners is not None and self.owners.lookup is None:
            # The list is captured, whatever reads its organizations.
            found += [map_input(self.model, path) for path in self._owner_paths if isinstance(path, str)]
        inputs = {mapped.field.name: mapped for mapped in found if mapped is not None}
        return inputs if self.owners is None else {**inputs, OWNERS: self.owners}

    @cached_property
    def computed(self) -> dict[str, tuple[Expression, tuple[str, ...]]]:
        """The canonical fields that are computed from values that SQL can read, each with the names of these values."""
        return {
            name: (path, tuple(map(input_name, path.paths)))
            for name, path in self._paths.items()
            if isinstance(path, Expression)
            and not isinstance(path, Function | Computed)
            and all(map_input(self.model, one) is not None for one in path.paths)
        }

    @cached_property
    def functions(self) -> dict[str, tuple[Computed, tuple[str, ...]]]:
        """The functions that make values of others: by the canonical field, each with the names of the values that it reads.

        A function that reads a field which the host's model lacks is left out.
        """
        known = {*self.mapped, *self.computed}
        made = self._made.items()
        return {name: one for name, one in made if callable(one[0].function) and known.issuperset(one[1])}

    @cached_property
    def made(self) -> tuple[str, ...]:
        """The canonical fields whose values functions make, or `events_for` adds."""
        return (*self.functions, *(name for name, (one, _names) in self._made.items() if one.function is None))

    @cached_property
    def available(self) -> set[str]:
        """The canonical names for which the source has a value. A value that is computed may be there."""
        of_owners = self.owners.field.items if self.owners is not None else ()
        return {*self.mapped, *self.computed, *self.made, *(f"organization.{item.name}" for item in of_owners)}

    @cached_property
    def _paths(self) -> dict[str, Path]:
        """The paths of all fields that are not left out."""
        paths = ((field.name, self.path_of(field.name)) for field in self.all_fields)
        return {name: path for name, path in paths if path}

    @cached_property
    def _made(self) -> dict[str, tuple[Computed, tuple[str, ...]]]:
        """The fields that are made by a `Computed`, each with the names of the values that it reads: other fields, or inputs."""
        fields = {field.name for field in self.all_fields}
        return {
            name: (path, tuple(one if one in fields - {name} else input_name(one) for one in path.paths))
            for name, path in self._paths.items()
            if isinstance(path, Computed)
        }

    @cached_property
    def owners(self) -> MappedField | None:
        """The list of the organizations that own the object; None for a source with a single owner."""
        if not self._owner_paths:
            return None
        model: Any = Webhook._meta.get_field("organization").related_model
        fields = {one.name.partition(".")[2]: one for one in self.all_fields if one.name.startswith("organization.")}
        items: dict[str, Path] = {}
        for name in fields:
            item = organization_path(name)
            # Only a value shows whether a computed one is there.
            if item is not None and not (isinstance(item, str) and broken_path(model, item)):
                items[name] = item
        listed = tuple(replace(fields[name], name=name) for name in items)
        field = Field(OWNERS, FieldKind.OBJECTS, FieldPrivacy.ID, items=listed)
        path, *others = self._owner_paths
        if isinstance(path, str) and not others:
            found = map_list(self.model, field, path, items=items)
            if found is not None and isinstance(found.lookup, RelatedList) and len(items) == len(found.lookup.columns):
                return found
        # SQL can't read the list, or a value of its organizations.
        text, read = ", ".join(map(str, self._owner_paths)), Function(partial(follow_all, self._owner_paths))
        return MappedField(field, text, None, items, read)

    @cached_property
    def selection(self) -> Only:
        """Which rows are objects of the noun."""
        return Only([(path, self.inputs.get(input_name(path)), accepted) for path, accepted in self.only.items()])

    @cached_property
    def all_fields(self) -> tuple[Field, ...]:
        """The fields of the noun, those that identify the organizations that receive its events, and the host's own."""
        names = {field.name for field in self.noun.fields}
        others = ORGANIZATION_FIELDS
        if self.learner is not None:
            others = (*others, LEARNER_ORGANIZATION)
        if self.time_zone_path is not None:
            others = (*others, TIME_ZONE)
        own = (one.field for one in self.custom_fields)
        return (*self.noun.fields, *(field for field in others if field.name not in names), *own)

    @cached_property
    def mapped(self) -> dict[str, MappedField]:
        """The values that are read: the canonical fields that the host's model has, and those that others are made of.

        The checks report required ones that the model lacks.
        """
        mappings = map(self._map, self.all_fields)
        found = {one.field.name: one for one in mappings if one is not None} | self.inputs
        for name in (*(one.field.name for one in self.custom_fields), *self.inputs, OWNER, LEARNER):
            if name in found and (key := key_behind(self.model, key_name(name), found[name])) is not None:
                found[key.field.name] = key
        return found

    @cached_property
    def own(self) -> dict[str, MappedField]:
        """The mapped fields that are columns of the object's own row."""
        return {name: mapped for name, mapped in self.mapped.items() if mapped.own}

    def lookup(self, name: str) -> str | None:
        """Return the query lookup of the column with the value of a canonical name; None if it is in no column."""
        lookup = self.mapped[name].lookup if name in self.mapped else None
        return lookup if isinstance(lookup, str) else None

    def path_of(self, name: str) -> Path | None:
        """Return the path of a canonical name: its entry in ``fields``, that of its reference, or the name itself.

        None is the path of a field that is left out. The fields of a reference use the mapping of its model, if that has a source for the noun. Without a course of
        its own, an object has the course of its class.
        """
        if name in self.paths:
            return self.paths[name]
        reference, _, rest = name.partition(".")
        if not rest:
            return "pk" if name == "id" else name
        is_of_class = reference == "course" and any(field.name == "class.id" for field in self.noun.fields)
        if is_of_class and "course" not in self.paths and not hasattr(self.model, "course"):
            return self.path_of(f"class.{name}")
        base = self.paths.get(reference, reference)
        if not base:
            return None
        if reference in ("organization", "learner_organization"):
            of_organization = organization_path(rest)
            return joined(base, of_organization) if of_organization else None
        target: Any = follow(self.model, next(iter(base.paths), "") if isinstance(base, Expression) else base)
        noun = NOUN_OF_REFERENCE.get(reference, reference)
        for source in self._related.get(target, ()) if target else ():
            if source.noun.name == noun and (source is not self or noun != reference):
                path = source.path_of(rest)
                return joined(base, path) if path else None
        return joined(base, "pk" if rest == "id" and (target is not None or not isinstance(base, str)) else rest)

    def canonical(self, raw: Values, *, others: Values | None = None) -> dict[str, Any]:
        """Return the host's values as canonical ones, with computed values added.

        Statuses become numbers, and dates become datetimes: a deadline the end of its day, any other the beginning. A
        status value without a mapping becomes a `PayloadError`, so that the other values stay usable. ``others`` are
        canonical values that functions may need and ``raw`` lacks.
        """
        values: dict[str, Any] = dict(raw)
        for name, (computed, inputs) in self.computed.items():
            if all(one in values for one in inputs):
                values[name] = computed.value([values[one] for one in inputs])
        if self.due_field and is_day(values.get(self.due_field)):
            values[self.due_field] = end_of_day(values[self.due_field], self.zone_of(values))
        for name, convert in self._conversions.items():
            if values.get(name) is not None:
                values[name] = convert(values[name])
        if self.functions:
            values.update(self.function_values({**others, **values} if others else values))
        if self.owned_by_learner and OWNER in values:
            values[LEARNER] = values[OWNER]
        return values

    def function_values(self, values: Values) -> dict[str, Any]:
        """Return the values that functions make of canonical ones, where these are known. Names of statuses become numbers.

        If a function raises, its value is a `PayloadError`, so that the event is not lost. Database errors are raised:
        they break the host's transaction. So are all errors under DEBUG and in tests.
        """
        made: dict[str, Any] = {}
        for name, (one, read) in self.functions.items():
            if not all(input_ in values for input_ in read):
                continue
            try:
                made[name] = one.value([values[input_] for input_ in read])
            except Exception as reason:
                if isinstance(reason, Error) or strict_payloads():
                    raise
                logger.exception("%s of %r failed; its events lack the value.", one, self)
                made[name] = PayloadError(f"{name}: {one} of {type(self).__name__} raised {type(reason).__name__}.")
            if name in self._status_names and isinstance(made[name], str):
                made[name] = self._status(name, made[name])
        return made

    @cached_property
    def has_learner(self) -> bool:
        """Whether the learner's organization may be another one than the owner."""
        return LEARNER in (*self.mapped, *self.computed)

    def includes(self, raw: Values) -> bool:
        """Return whether the row with these values is an object of the noun."""
        return not self.only or self.selection.matches(raw)

    @cached_property
    def is_due_by_day(self) -> bool:
        """Whether the deadline's column holds dates without a time."""
        mapped = self.own.get(self.due_field)
        return mapped is not None and not isinstance(column_at(self.model, mapped.path), models.DateTimeField)

    def expired_key(self, values: Values) -> str:
        """Return the key that makes the "expired" event of an object with these values unique, whether of a scan or of a change.

        Of a date without a time it has the day, which stays the same if the organization moves to another time zone.
        """
        due = DueDate(values[self.due_field], self.zone_of(values))
        date = due.day.isoformat() if self.is_due_by_day else int(due.at.timestamp())
        return f"{self.expired_type}:{subject_key(values['id'])}:{date}"

    def zone_of(self, values: Values) -> tzinfo:
        """Return the time zone of the organization in these values; the project's if the source names no path to it."""
        return time_zone(values.get(TIME_ZONE.name))

    @cached_property
    def status_mappings(self) -> Mapping[str, Mapping[Any, Any]]:
        """The host's dictionaries for status fields, by the names of the fields."""
        return merged_fields(type(self), "statuses")

    def host_choices(self, name: str) -> list[Any]:
        """Return the values in the choices of the host's own field; an empty list for a field without choices."""
        column = column_at(self.model, self.mapped[name].path) if self.lookup(name) else None
        return [] if column is None else [value for value, _label in column.flatchoices]

    @cached_property
    def _conversions(self) -> dict[str, Callable[[Any], Any]]:
        """The functions that make canonical values, by the names of the fields that need one."""
        conversions: dict[str, Callable[[Any], Any]] = {}
        computed = (field for field in self.all_fields if field.name in self.computed)
        for field in (*(mapped.field for mapped in self.mapped.values()), *computed):
            mapped = self.mapped.get(field.name)
            if field.choices is not None:
                # A value means the same status each time; 1 and True are different values.
                conversions[field.name] = lru_cache(typed=True)(partial(self._status, field.name))
            elif field.kind is FieldKind.DATETIME:
                column = column_at(self.model, mapped.path) if mapped is not None and mapped.lookup else None
                if not isinstance(column, models.DateTimeField):
                    conversions[field.name] = as_moment
            elif mapped is not None and mapped.items and isinstance(mapped.lookup, str):
                conversions[field.name] = mapped.objects
        return conversions

    @cached_property
    def _status_names(self) -> dict[str, type[models.IntegerChoices]]:
        """The statuses of the noun, by the names of their fields."""
        return {field.name: field.choices for field in self.all_fields if field.choices is not None}

    def _map(self, field: Field) -> MappedField | None:
        path = self.path_of(field.name)
        is_of_owners = self.owners is not None and field.name.startswith("organization.")
        if isinstance(path, Computed):
            # A path to a property; a function is none.
            path = path.function if isinstance(path.function, str) else None
        if not path or field.name in self.computed or is_of_owners:
            return None
        if isinstance(path, Expression):
            return MappedField(field, str(path), None, self._item_paths(field, ""), path)
        return map_field(self.model, field, path, items=self._item_paths(field, path))

    def _item_paths(self, field: Field, path: str) -> dict[str, str]:
        """Return the paths of the values in a list of objects, which begin at a listed object, by the values' names.

        Of people, the mapping of the source of the user model is used, where `fields` names no path.
        """
        relation = list_relation(self.model, path) if field.items else None
        sources = self._related.get(relation.listed, ()) if relation else ()
        people = next((source for source in sources if source.noun.name == "user"), None)
        paths: dict[str, Path | None] = {}
        for item in field.items:
            default: Path = "pk" if item.name == "id" and relation else item.name
            paths[item.name] = self.paths.get(
                f"{field.name}.{item.name}", default if people is None else people.path_of(item.name)
            )
        # Only a path can be read for each object of a list.
        return {name: item_path for name, item_path in paths.items() if isinstance(item_path, str)}

    def _status(self, name: str, value: Any) -> int | PayloadError | None:
        """Return the number of the status that the host's ``value`` means in a field, or the error; None stays None."""
        if isinstance(value, PayloadError):
            return value
        try:
            statuses = self._status_names[name]
            member = read_status(value, field=name, statuses=statuses, mapping=self.status_mappings.get(name))
        except PayloadError as error:
            return error
        return None if member is None else int(member)

    def _specific_events(self, change: Change) -> list[str]:
        """Return the event types of ``change`` by all rules but the fallbacks, and by the deadline."""
        event_types = [
            event_type
            for rule in self.rules
            if not rule.is_fallback and (event_type := rule.read(change)) is not None
            if not isinstance(rule, Reopened) or self.is_reopened(change)
        ]
        expired = self.expired_type
        if not expired or change.deleted:
            return event_types
        # A change expires an object that is new or reopened, or whose date it moves into the past. A scan finds the others.
        before = [] if change.created else [{**change.after, **change.before}]
        state, *earlier = (self._state(values, change.now) for values in (change.after, *before))
        if expired in event_types and state == CLOSED:
            event_types.remove(expired)
        elif expired not in event_types and state == EXPIRED and earlier != [EXPIRED]:
            event_types.append(expired)
        return event_types

    def _state(self, values: Values, now: datetime) -> str:
        """Return whether an object with these canonical values is closed or past its deadline, or still has time."""
        at = values.get(self.due_field)
        if not self.is_open(values):
            return CLOSED
        return EXPIRED if isinstance(at, datetime) and at <= now else RUNNING
