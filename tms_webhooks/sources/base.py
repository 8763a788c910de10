"""The base class by which a host declares a model as a source of events."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from tms_webhooks.catalogue.schema import Field, FieldKind, Noun
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.exceptions import ConfigurationError, PayloadError
from tms_webhooks.models.event import subject_key
from tms_webhooks.sources.deadlines import ClosedWhen, Deadline, as_moment, expired_key
from tms_webhooks.sources.mapping import MappedField, follow, map_field, merged_fields
from tms_webhooks.sources.rules import Change, Rule, event_types_of
from tms_webhooks.sources.statuses import read_status

ORGANIZATION_FIELDS = (
    Field("organization.id", FieldKind.ID, FieldPrivacy.ID, required=True, doc="The organization's id."),
    Field("organization.external_id", FieldKind.ID, FieldPrivacy.ID, doc="The organization's id at the customer."),
)
LEARNERS = Field("learner_organization.id", FieldKind.ID, FieldPrivacy.ID, doc="Id of the learner's organization.")


class PlannedEvent:
    """One event that a source makes of a change: its type, and what differs from the plain case.

    ``once`` is a key: of several events with the same key only the first is recorded. ``deadline`` is the date that
    the key speaks of, if it speaks of one: some time after it the key is forgotten. ``forgetting`` keeps old values that
    are personal out of the event.
    """

    __slots__ = ("deadline", "event_type", "extra", "forgetting", "once", "subject_id")

    def __init__(
        self,
        event_type: str,
        *,
        once: str = "",
        deadline: datetime | None = None,
        subject_id: str = "",
        extra: Mapping[str, Any] | None = None,
        forgetting: bool = False,
    ) -> None:
        self.event_type = event_type
        self.once = once
        self.deadline = deadline
        self.subject_id = subject_id
        self.extra = extra or {}
        self.forgetting = forgetting


class Source:
    """One model of the host as a source of events.

    A subclass for a noun of a training system names ``noun`` and ``rules``; a host's own subclass only what differs:

    - ``organization``: attribute path to the organization that owns the object (``training_class.organization``)
    - ``learner_organization``: the same for the learner's organization, where that is another one; ``owned_by_learner``
      says that the owner is always the learner's own organization
    - ``fields``: canonical name to attribute path; ``"user": "learner"`` moves every ``user.…`` at once, an empty path
      leaves the field out
    - ``statuses``: canonical status field to a dictionary from the host's values to numbers or names
    - ``rules``: which change means which event
    - ``deadline``: the date whose coming near and passing are events; ``closing``: what makes it matter no more
    - ``reconcile``: whether to remember what was told of each object, so that ``webhooks_reconcile`` finds what was
      changed unseen
    - `derived`, `tells`: for what no rule says; `supplies` names the values that they add
    """

    noun: ClassVar[Noun]
    rules: ClassVar[tuple[Rule, ...]] = ()
    organization: ClassVar[str] = "organization"
    learner_organization: ClassVar[str | None] = None
    owned_by_learner: ClassVar[bool] = False
    fields: ClassVar[Mapping[str, str]] = {}
    statuses: ClassVar[Mapping[str, Mapping[Any, Any]]] = {}
    deadline: ClassVar[Deadline | None] = None
    closing: ClassVar[ClosedWhen] = ClosedWhen()
    reconcile: ClassVar[bool] = False

    def __init__(self, model: type[models.Model], related: Mapping[type[models.Model], list[Source]]) -> None:
        """Bind the declaration to ``model``. ``related`` is the registry: it knows how other models name things."""
        self.model = model
        self._related = related

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.model._meta.label}>"

    # For subclasses

    def derived(self, values: dict[str, Any]) -> Mapping[str, Any]:
        """Return canonical values that follow from others, such as a status that the host doesn't store."""
        return {}

    def supplies(self) -> Collection[str]:
        """Return the canonical names that `derived` and `tells` add to what the host stores; the checks ask."""
        return ()

    def events_for(self, change: Change) -> Iterable[PlannedEvent]:
        """Return the events that ``change`` means. The default asks the rules."""
        expired = self.deadline.expired if self.deadline is not None else ""
        named = [event_type for rule in self.rules if (event_type := rule.read(change)) is not None]
        if expired and expired not in named and self._is_taken_up_too_late(change):
            named.append(expired)
        for event_type in named:
            if event_type != expired:
                yield PlannedEvent(event_type)
            elif self.is_open(change.after):
                yield self._expiry(change)

    def turn(self, change: Change) -> str:
        """Return by what the changes of many objects are asked in turn: for a `tells` that locks rows to know."""
        return ""

    def open_rows(self) -> Q:
        """Return a filter for the objects whose deadline still matters, as far as the database can tell."""
        rows = Q()
        for name in self.closing.moments:
            if name in self.own:
                rows &= Q(**{f"{self.own[name].lookup}__isnull": True})
        for name, member in self.closing.statuses:
            if name in self.own and name not in self.supplies():
                rows &= ~Q(**{f"{self.own[name].lookup}__in": self._host_values(name, member)})
        return rows

    def is_open(self, values: Mapping[str, Any]) -> bool:
        """Return the same of one object, by its canonical values."""
        return self.closing.is_open(values)

    # For the app

    @cached_property
    def name(self) -> str:
        """The name by which the source is remembered: its model's, and its own."""
        return f"{self.model._meta.label}:{type(self).__name__}"

    @cached_property
    def event_types(self) -> tuple[str, ...]:
        """Every event type that this source can make."""
        return tuple(event_types_of(self.rules))

    @cached_property
    def deletion_types(self) -> tuple[str, ...]:
        """Those that the end of an object can mean."""
        return tuple(event_types_of(rule for rule in self.rules if rule.reads_deletions))

    @cached_property
    def paths(self) -> dict[str, str]:
        """Canonical names and references to attribute paths, as the class and its bases have them."""
        learner = {"learner_organization": self.learner_organization} if self.learner_organization else {}
        return {**merged_fields(type(self)), "organization": self.organization, **learner}

    @cached_property
    def all_fields(self) -> tuple[Field, ...]:
        """The fields of the noun, and those that tell whose webhooks hear of it."""
        names = {field.name for field in self.noun.fields}
        others = ORGANIZATION_FIELDS if self.learner_organization is None else (*ORGANIZATION_FIELDS, LEARNERS)
        return (*self.noun.fields, *(field for field in others if field.name not in names))

    @cached_property
    def mapped(self) -> dict[str, MappedField]:
        """The canonical fields that this host has. The checks report those that it should have and doesn't."""
        found = ((field.name, self._map(field)) for field in self.all_fields)
        return {name: mapped for name, mapped in found if mapped is not None}

    def _map(self, field: Field) -> MappedField | None:
        path = self.path_of(field.name)
        return map_field(self.model, field, path) if path else None

    @cached_property
    def own(self) -> dict[str, MappedField]:
        """Those whose values stand in the object's own row."""
        return {name: mapped for name, mapped in self.mapped.items() if mapped.own}

    def path_of(self, name: str) -> str:
        """Return the attribute path of a canonical name: the host's word, or its word for the reference, or the name.

        A reference's own fields go by the mapping of the model it leads to, where that is registered for the noun.
        """
        if name in self.paths:
            return self.paths[name]
        reference, _, rest = name.partition(".")
        if not rest:
            return "pk" if name == "id" else name
        base = self.paths.get(reference, reference)
        if not base:
            return ""
        target = follow(self.model, base)
        for source in self._related.get(target, ()) if target else ():
            if source.noun.name == reference and source is not self:
                return f"{base}.{source.path_of(rest)}"
        if rest == "id" and target is not None:
            rest = "pk"
        return f"{base}.{rest}"

    def canonical(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Turn the host's values into canonical ones: statuses become numbers, days moments; derived values are added.

        A status value without a mapping becomes the `PayloadError` that says so: the other values still tell something.
        """
        values: dict[str, Any] = dict(raw)
        for name, mapped in self.mapped.items():
            if name not in values:
                continue
            if mapped.field.choices is not None:
                values[name] = self._status_or_error(name, values[name])
            elif mapped.field.kind is FieldKind.DATETIME:
                values[name] = as_moment(values[name])
        values.update(self.derived(values))
        self.name_learners(values)
        return values

    def name_learners(self, values: dict[str, Any]) -> None:
        """Add the learner's organization to canonical values, where it is the owner."""
        if self.owned_by_learner and "organization.id" in values:
            values[LEARNERS.name] = values["organization.id"]

    def _status_or_error(self, name: str, value: Any) -> int | PayloadError | None:
        if isinstance(value, PayloadError):
            return value
        try:
            return self.status(name, value)
        except PayloadError as error:
            return error

    def status(self, name: str, value: Any) -> int | None:
        """Return the number of the status that the host's ``value`` means in the canonical field ``name``.

        Raises `PayloadError` for a value without a mapping.
        """
        choices = self.mapped[name].field.choices
        if choices is None:
            raise ConfigurationError(f"{name} of {self!r} is no status.")
        member = read_status(value, field=name, statuses=choices, mapping=self.status_mapping(name))
        return None if member is None else int(member.value)

    def status_mapping(self, name: str) -> Mapping[Any, Any] | None:
        """Return the host's dictionary for a status field, or None where it has none."""
        return self._statuses.get(name)

    def host_choices(self, name: str) -> list[Any]:
        """Return the values that the host's own field admits by its choices; none where it has no choices."""
        mapped = self.mapped.get(name)
        if mapped is None or not isinstance(mapped.lookup, str):
            return []
        *_, last = mapped.path.split(".")
        parent = self.model if "." not in mapped.path else follow(self.model, mapped.path.rpartition(".")[0])
        if parent is None:
            return []
        field: Any = parent._meta.pk if last == "pk" else parent._meta.get_field(last)
        return [value for value, _label in field.flatchoices]

    def _host_values(self, name: str, member: models.IntegerChoices) -> list[Any]:
        """Return the host's own values for a status. A value without a mapping is not one of them."""
        values = self.status_mapping(name) or self.host_choices(name) or [member.value]
        return [value for value in values if self._status_or_error(name, value) == member]

    def _is_taken_up_too_late(self, change: Change) -> bool:
        """Say whether the object's date had passed before it came to matter again: then no scan finds it."""
        at = self._deadline_of(change)
        if change.created or change.deleted or at is None or at > change.now:
            return False
        return self.is_open(change.after) and not self.is_open({**change.after, **change.before})

    def _expiry(self, change: Change) -> PlannedEvent:
        """Return that the object has expired: once for each date, whether a change finds it first or a scan."""
        event_type, at = self.deadline.expired if self.deadline is not None else "", self._deadline_of(change)
        once = expired_key(event_type, subject_key(change.after["id"]), at) if at is not None else ""
        return PlannedEvent(event_type, once=once, deadline=at)

    def _deadline_of(self, change: Change) -> datetime | None:
        at = change.after.get(self.deadline.field) if self.deadline is not None else None
        return at if isinstance(at, datetime) else None

    @cached_property
    def _statuses(self) -> dict[str, Any]:
        return merged_fields(type(self), "statuses")
